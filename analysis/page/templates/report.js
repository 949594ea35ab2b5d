"use strict";
// A click on a header, or Enter or Space where it has the focus, sorts its table; another turns the order round.
// Missing cells stay last. Of cells that are equal the order of before stays.
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0];
  const heads = [...table.querySelectorAll("th")];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const ascending = head.getAttribute("aria-sort") !== "ascending";
      const number = head.classList.contains("number");
      const key = (row) => row.cells[column].dataset.key;
      const rows = [...body.rows].sort((a, b) => {
        const [left, right] = [key(a), key(b)];
        if (left === "" || right === "") return (left === "") - (right === "");
        const order = number ? left - right || 0 : left.localeCompare(right, undefined, { numeric: true });
        return ascending ? order : -order;
      });
      body.append(...rows);
      heads.forEach((each) => each.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    });
  });
}
