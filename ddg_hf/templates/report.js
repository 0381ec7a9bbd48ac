// What can be scrolled can be reached with the keyboard, and nothing else of that kind: each is a stop of the tab key.
(function () {
  "use strict";
  const boxes = document.querySelectorAll(".scroll, pre");
  const mark = () => {
    for (const box of boxes) {
      const scrolls = box.scrollWidth > box.clientWidth + 1 || box.scrollHeight > box.clientHeight + 1;
      if (scrolls) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  };
  mark();
  addEventListener("resize", mark);
  document.addEventListener("toggle", mark, true);
})();

// The table of samples: search, filters, sorting and pages. Texts from data are only ever set as text.
(function () {
  "use strict";
  const source = document.getElementById("samples-data");
  if (!source) return;

  const PAGE = 50;
  const NEAR_COPY = 0.9;
  const LONG = 240;
  const { columns, rows } = JSON.parse(source.textContent);
  const at = Object.fromEntries(columns.map((name, i) => [name, i]));
  const byId = (id) => document.getElementById(id);
  const table = byId("samples-table");
  const body = table.tBodies[0];
  const headings = [...table.querySelectorAll("thead th")];
  const filters = ["method", "dpc", "set", "label"];

  // What is searched is folded once, not at every key stroke.
  const haystack = rows.map((row) => `${row[at.text]}\n${row[at.label]}\n${row[at.nearest]}`.toLowerCase());
  const original = rows.map((_, i) => i);
  let order = original;
  let found = original;
  let page = 0;
  let sorted = { key: null, descending: false };

  for (const name of filters) {
    const values = [...new Set(rows.map((row) => row[at[name]]))];
    if (name === "dpc" || name === "set") values.sort((a, b) => a - b);
    for (const value of values) byId(name).append(new Option(String(value), String(value)));
  }

  function filter() {
    const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const chosen = filters.map((name) => [at[name], byId(name).value]).filter(([, value]) => value !== "");
    const near = byId("near").value;
    found = order.filter((i) => {
      const row = rows[i];
      for (const [column, value] of chosen) if (String(row[column]) !== value) return false;
      if (near && (row[at.similarity] === null || row[at.similarity] > NEAR_COPY !== (near === "near"))) return false;
      for (const word of words) if (!haystack[i].includes(word)) return false;
      return true;
    });
    page = 0;
    show();
  }

  const collator = new Intl.Collator(undefined, { numeric: true });

  function sort(key) {
    if (sorted.key !== key) sorted = { key, descending: false };
    else if (!sorted.descending) sorted = { key, descending: true };
    else sorted = { key: null, descending: false };
    const column = at[sorted.key];
    const sign = sorted.descending ? -1 : 1;
    const compare = (i, j) => {
      const a = rows[i][column], b = rows[j][column];
      if (a === b) return i - j;
      if (a === null || a === "") return 1; // what is not known comes last, whichever way
      if (b === null || b === "") return -1;
      return sign * (typeof a === "number" ? a - b : collator.compare(a, b)) || i - j;
    };
    order = sorted.key === null ? original : [...original].sort(compare);
    for (const heading of headings) {
      const mine = heading.querySelector("button").dataset.key === sorted.key;
      heading.setAttribute("aria-sort", !mine ? "none" : sorted.descending ? "descending" : "ascending");
    }
    filter();
  }

  function longText(cell, text) {
    const content = document.createElement("span");
    content.className = "text";
    content.textContent = text;
    content.dir = "auto";
    cell.append(content);
    if (text.length <= LONG) return;
    content.classList.add("clamped");
    const more = document.createElement("button");
    more.type = "button";
    more.className = "more";
    more.textContent = "Show all";
    more.setAttribute("aria-expanded", "false");
    more.addEventListener("click", () => {
      const open = content.classList.toggle("clamped") === false;
      more.setAttribute("aria-expanded", String(open));
      more.textContent = open ? "Show less" : "Show all";
    });
    cell.append(more);
  }

  function cellOf(row, name, title) {
    const cell = document.createElement("td");
    const value = row[at[name]];
    cell.className = `c-${name}`;
    cell.setAttribute("role", "cell");
    cell.dataset.title = title;
    if (value === null || value === "") cell.textContent = "–";
    else if (name === "text" || name === "nearest") longText(cell, value);
    else if (name === "loss" || name === "similarity") cell.textContent = value.toFixed(2);
    else cell.textContent = String(value);
    if (name === "similarity" && value !== null && value > NEAR_COPY) {
      const mark = document.createElement("span");
      mark.className = "mark";
      mark.textContent = "near copy";
      cell.append(" ", mark);
    }
    return cell;
  }

  function lineOf(row) {
    const line = document.createElement("tr");
    line.setAttribute("role", "row");
    for (const heading of headings) {
      const button = heading.querySelector("button");
      line.append(cellOf(row, button.dataset.key, button.textContent));
    }
    return line;
  }

  const linesOf = (start, stop) => found.slice(start, stop).map((i) => lineOf(rows[i]));

  function show() {
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    page = Math.min(Math.max(page, 0), pages - 1);
    body.replaceChildren(...linesOf(page * PAGE, (page + 1) * PAGE));
    const number = (n) => n.toLocaleString("en");
    const place = document.createElement("span");
    place.className = "place";
    place.textContent = found.length > PAGE ? `, page ${number(page + 1)} of ${number(pages)}` : "";
    byId("count").replaceChildren(`${number(found.length)} of ${number(rows.length)} rows`, place);
    // Not `disabled`: that would take the focus from the button that was just pressed.
    byId("previous").setAttribute("aria-disabled", String(page === 0));
    byId("next").setAttribute("aria-disabled", String(page >= pages - 1));
  }

  // Paper has no pages to turn: the rows before and behind those that are shown are added for it.
  let printed = [];

  function endPrint() {
    for (const line of printed) line.remove();
    printed = [];
  }

  function beginPrint() {
    endPrint();
    const before = linesOf(0, page * PAGE);
    const behind = linesOf((page + 1) * PAGE);
    printed = [...before, ...behind];
    body.prepend(...before);
    body.append(...behind);
  }

  function save() {
    const quoted = (value) => {
      const text = value === null ? "" : String(value);
      return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    const lines = [columns, ...found.map((i) => rows[i])].map((line) => line.map(quoted).join(","));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/csv" }));
    link.download = "samples.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  byId("search").addEventListener("input", filter);
  for (const name of [...filters, "near"]) byId(name).addEventListener("change", filter);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("filters").addEventListener("reset", () => setTimeout(filter));
  for (const heading of headings) {
    const button = heading.querySelector("button");
    button.addEventListener("click", () => sort(button.dataset.key));
  }
  for (const [name, by] of [["previous", -1], ["next", 1]]) {
    byId(name).addEventListener("click", (event) => {
      if (event.currentTarget.getAttribute("aria-disabled") === "true") return;
      page += by;
      show();
      table.scrollIntoView({ block: "start" });
    });
  }
  addEventListener("beforeprint", beginPrint);
  addEventListener("afterprint", endPrint);
  byId("save").addEventListener("click", save);
  filter();
})();
