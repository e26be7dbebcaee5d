// A filter above the table of claims.  Without scripts the table is complete as it stands.
(() => {
  const table = document.querySelector("table.claims-table");
  if (!table) return;
  const rows = [...table.tBodies[0].rows];
  const word = (row, kind) => row.querySelector(`.${kind}`)?.textContent ?? "";
  const told = (row) => [...row.querySelectorAll(".mark")].map((mark) => mark.title.replace(":", "").replace(/ \(.*/, ""));

  const choice = (kind) => {
    const select = document.createElement("select");
    select.setAttribute("aria-label", `Filter by ${kind}`);
    select.add(new Option(`any ${kind}`, ""));
    for (const value of [...new Set(rows.map((row) => word(row, kind)))].sort())
      select.add(new Option(value, value));
    return select;
  };
  const search = document.createElement("input");
  search.type = "search";
  search.placeholder = "Search the claims";
  search.setAttribute("aria-label", "Search the claims");
  const verdict = choice("verdict");
  const provenance = choice("provenance");
  const checks = document.createElement("select");
  checks.setAttribute("aria-label", "Filter by check");
  checks.add(new Option("any check", ""));
  for (const value of [...new Set(rows.flatMap(told))].sort()) checks.add(new Option(value, value));
  const count = document.createElement("output");

  const update = () => {
    const wanted = search.value.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      row.hidden = !(
        row.textContent.toLowerCase().includes(wanted) &&
        (!verdict.value || word(row, "verdict") === verdict.value) &&
        (!provenance.value || word(row, "provenance") === provenance.value) &&
        (!checks.value || told(row).includes(checks.value))
      );
      shown += !row.hidden;
    }
    count.textContent = `${shown} of ${rows.length} claims`;
  };
  const bar = document.createElement("div");
  bar.className = "claims-filter";
  bar.append(search, verdict, provenance, checks, count);
  for (const control of [search, verdict, provenance, checks])
    control.addEventListener("input", update);
  (table.closest(".pst-scrollable-table-container") ?? table).before(bar);
  update();
})();
