// Tables of the report: sorted by a click on a column's name, searched where they are long.
const LONG = 12;
const words = (cell) => cell.textContent.trim();

/** The number that a cell begins with; NaN where it has none. */
function asNumber(text) {
  const match = text.replaceAll(",", "").replace("−", "-").match(/^[-+]?\d+(\.\d+)?(e[-+]?\d+)?/i);
  return match ? Number(match[0]) : NaN;
}

/** Rows by a column: numbers by size, other texts by name; cells without a value come last. */
function sorted(rows, column, falling) {
  const keys = new Map(rows.map((row) => [row, words(row.cells[column])]));
  const empty = (key) => key === "" || key === "–";
  const numbers = rows.every((row) => empty(keys.get(row)) || !Number.isNaN(asNumber(keys.get(row))));
  return [...rows].sort((first, second) => {
    const a = keys.get(first), b = keys.get(second);
    if (empty(a) || empty(b)) return empty(a) - empty(b);
    const order = numbers ? asNumber(a) - asNumber(b) : a.localeCompare(b);
    return falling ? -order : order;
  });
}

function makeSortable(table) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const falling = head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", falling ? "descending" : "ascending");
      body.append(...sorted([...body.rows], column, falling));
    });
  });
}

function makeSearchable(table, frame) {
  const body = table.tBodies[0], rows = [...body.rows];
  const label = document.createElement("label"), input = document.createElement("input");
  const count = document.createElement("span");
  label.className = "search";
  label.append("Search this table ", input, count);
  input.type = "search";
  count.setAttribute("role", "status");
  input.addEventListener("input", () => {
    const wanted = input.value.trim().toLowerCase();
    for (const row of rows)
      row.hidden = ![...row.cells].some((cell) => cell.textContent.toLowerCase().includes(wanted));
    count.textContent = wanted ? ` ${rows.filter((row) => !row.hidden).length} of ${rows.length} rows` : "";
  });
  frame.before(label);
}

/** The contents say where one is: in the last section that has begun above the middle, at the end in the last. */
function followReading() {
  const links = [...document.querySelectorAll('nav[aria-label="Contents"] a')];
  const targets = links.map((link) => document.getElementById(link.hash.slice(1)));
  const mark = () => {
    let current = null;
    const atEnd = innerHeight + scrollY >= document.documentElement.scrollHeight - 2;
    targets.forEach((target, index) => {
      // What is folded away has no place on the page.
      const begun = target?.getClientRects().length && (atEnd || target.getBoundingClientRect().top < innerHeight / 2);
      if (begun)
        current = links[index];
    });
    for (const link of links)
      if (link === current) link.setAttribute("aria-current", "location");
      else link.removeAttribute("aria-current");
  };
  let waiting = 0;
  addEventListener("scroll", () => { waiting ||= requestAnimationFrame(() => { waiting = 0; mark(); }); });
  mark();
}

followReading();
for (const frame of document.querySelectorAll(".scroll:has(> table)")) {
  const table = frame.querySelector("table");
  const rows = table.tHead?.rows.length === 1 && table.tBodies.length === 1 ? [...table.tBodies[0].rows] : [];
  const columns = table.tHead?.rows[0].cells.length;
  if (rows.length > 1 && rows.every((row) => row.cells.length === columns)) makeSortable(table);
  if (rows.length >= LONG) makeSearchable(table, frame);
}
