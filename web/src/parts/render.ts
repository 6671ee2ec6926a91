/** A chunk of its own: Markdown to HTML that is safe to show. */
import DOMPurify from "dompurify";
import { Marked } from "marked";

const marked = new Marked({
  gfm: true,
  breaks: false,
  // Its headings stand below those of the page.
  walkTokens: (token) => {
    if (token.type === "heading") token.depth = Math.min(6, (token.depth as number) + 3);
  },
});

// What a step wrote may link to anywhere: the other side learns nothing of where it was linked from, and cannot reach this page.
DOMPurify.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName === "A" && node.hasAttribute("href")) {
    node.setAttribute("rel", "noopener noreferrer nofollow");
    node.setAttribute("target", "_blank");
  }
  if (node.tagName === "TABLE") node.setAttribute("tabindex", "0");
});

export function render(text: string): string {
  return DOMPurify.sanitize(marked.parse(text, { async: false }), {
    USE_PROFILES: { html: true },
    // A page of ours must not be forged within ours: no forms, no styles, no ids that scripts or links would find.
    FORBID_TAGS: ["form", "input", "button", "textarea", "select", "style", "dialog", "audio", "video"],
    FORBID_ATTR: ["style", "id", "name", "class"],
  });
}
