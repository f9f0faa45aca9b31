import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { ThemeChoice } from "./ThemeChoice.js";

/** A page of one card: forms, waiting, and ends. */
export function Plain(props: { title: string; children: ComponentChildren; busy?: boolean }) {
  useEffect(() => {
    document.title = `${props.title} · ClaraTeach`;
  }, [props.title]);
  return (
    <div class="plain">
      <header class="plain-top">
        <a class="brand" href="/">
          ClaraTeach
        </a>
        <ThemeChoice />
      </header>
      <main class="card" aria-busy={props.busy ?? false}>
        <h1>{props.title}</h1>
        {props.children}
      </main>
    </div>
  );
}
