// Previews of what a link leads to.  sphinx-tippy makes one for each link once the page is loaded;
// here are the defaults that it does not know of.
(() => {
  if (!window.tippy) return;

  // A preview repeats a part of a page: without its ids, and without the links beside it to itself
  // and to its source.
  const withoutIds = (html) => {
    const part = new DOMParser().parseFromString(html, "text/html");
    part.querySelectorAll(".headerlink, a:has(> .viewcode-link)").forEach((mark) => mark.remove());
    part.querySelectorAll("[id]").forEach((node) => node.removeAttribute("id"));
    const { innerHTML } = part.body;
    return part.querySelector("body > dt") ? `<dl class="py">${innerHTML}</dl>` : innerHTML;
  };

  // The pointer may rest on a preview, the escape key closes it (WCAG 1.4.13).
  const closeOnEscape = {
    fn(instance) {
      const close = (event) => event.key === "Escape" && instance.hide();
      return {
        onCreate() {
          instance.setContent(withoutIds(instance.props.content));
          // A formula alone has no words that could name it.
          instance.popper.firstElementChild.setAttribute("aria-label", "Preview of the link");
        },
        onShow: () => document.addEventListener("keydown", close),
        onHide: () => document.removeEventListener("keydown", close),
      };
    },
  };

  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  tippy.setDefaultProps({
    appendTo: () => document.body, // a table or figure that scrolls would cut it off
    aria: { content: "describedby", expanded: false },
    duration: still ? 0 : [150, 100],
    plugins: [closeOnEscape],
    popperOptions: { modifiers: [{ name: "preventOverflow", options: { padding: 8 } }] },
  });
})();
