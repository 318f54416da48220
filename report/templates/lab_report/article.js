// Marks the place in the contents, previews references, sorts tables, and closes an enlarged figure on Escape.
// The page is whole without it.
"use strict";
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

const entries = new Map(all("nav a").map((link) => [link.hash.slice(1), link]));
const headings = all("main > h2").filter((heading) => entries.has(heading.id));
const markPlace = () => {
  const current = headings.findLast((heading) => heading.getBoundingClientRect().top < 0.3 * innerHeight) ?? headings[0];
  entries.forEach((link) => link.removeAttribute("aria-current"));
  entries.get(current?.id)?.setAttribute("aria-current", "location");
};
addEventListener("scroll", markPlace, { passive: true });
markPlace();

const preview = document.createElement("aside");
preview.className = "preview";
preview.hidden = true;
preview.setAttribute("aria-hidden", "true");
document.body.append(preview);
const show = (link) => {
  const copy = document.getElementById(link.hash.slice(1)).cloneNode(true);
  [copy, ...all("*", copy)].forEach((element) => ["id", "tabindex"].forEach((name) => element.removeAttribute(name)));
  all("input, button, .sources", copy).forEach((element) => element.replaceWith(...element.childNodes));
  preview.replaceChildren(copy);
  preview.hidden = false;
};
const hide = () => { preview.hidden = true; };
for (const link of all('main a[href^="#fig-"], main a[href^="#tbl-"], main a[href^="#ref-"]')) {
  link.addEventListener("mouseenter", () => show(link));
  link.addEventListener("focus", () => show(link));
  link.addEventListener("mouseleave", hide);
  link.addEventListener("blur", hide);
}

const value = (row, column) => {
  const text = row.cells[column].textContent.replaceAll("−", "-").replaceAll(",", "");
  return Number.isNaN(parseFloat(text)) ? text : parseFloat(text);
};
const sort = (table, head, column) => {
  const descends = head.getAttribute("aria-sort") === "ascending";
  all("th", table.tHead).forEach((other) => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", descends ? "descending" : "ascending");
  const compare = (a, b) => (typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1);
  const rows = [...table.tBodies[0].rows].sort((a, b) => compare(value(a, column), value(b, column)));
  table.tBodies[0].append(...(descends ? rows.reverse() : rows));
};
for (const table of all("main table").filter((one) => one.tBodies[0].rows.length > 2)) {
  all("th", table.tHead).forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(table, head, column));
    head.append(button);
  });
}

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  hide();
  all(".zoom :checked").forEach((box) => { box.checked = false; });
});
