/** Markdown that a step wrote: rendered, and cleared of all that could act. The two libraries load with the first summary. */
import { useEffect, useState } from "preact/hooks";

type Render = (text: string) => string;
let loaded: Promise<Render> | null = null;

function renderer(): Promise<Render> {
  loaded ??= import("./render").then((module) => module.render);
  return loaded;
}

export function Markdown({ text }: { text: string }) {
  const [html, setHtml] = useState<string | null>(null);
  useEffect(() => {
    let gone = false;
    void renderer().then((render) => {
      if (!gone) setHtml(render(text));
    });
    return () => {
      gone = true;
    };
  }, [text]);
  if (html === null) return <pre class="markdown plain">{text}</pre>;
  return <div class="markdown" dangerouslySetInnerHTML={{ __html: html }} />;
}
