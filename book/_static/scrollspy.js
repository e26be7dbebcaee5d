// Bootstrap marks the current section in the page's table of contents.  On a page without one it
// would take every link for a section, and trip over the dots in labels such as as25-lem-4.1.
document.addEventListener("DOMContentLoaded", () => {
  if (!document.querySelector(".bd-toc-nav")) document.body.removeAttribute("data-bs-spy");
});
