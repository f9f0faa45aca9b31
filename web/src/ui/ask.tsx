// Questions in a dialog: `await ask(…)` from anywhere, one <Asking/> on the page.
import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Labelled } from "./Labelled.js";

/** One question. */
interface Question {
  readonly title: string;
  readonly body?: ComponentChildren;
  /** A text to type, with its label and what it is at first. */
  readonly input?: { label: string; value: string; hint?: string };
  /** Only with exactly this text may it be done. */
  readonly mustBe?: string;
  /** What can be answered, the usual one first. */
  readonly answers: readonly { word: string; key: string; danger?: boolean }[];
}

/** What was answered; undefined for none. */
export interface Answer {
  readonly key: string;
  readonly text: string;
}

const open = signal<{ question: Question; done: (answer: Answer | undefined) => void } | undefined>(
  undefined,
);

/** Asks, and waits for the answer; a second question waits for none: it answers the first with nothing. */
export function ask(question: Question): Promise<Answer | undefined> {
  open.value?.done(undefined);
  return new Promise((resolve) => {
    open.value = {
      question,
      done: (answer) => {
        // One that closes late is not to end the next.
        if (open.value?.question === question) open.value = undefined;
        resolve(answer);
      },
    };
  });
}

/** Asks for a line of text; undefined when there is none. */
export async function askText(
  title: string,
  input: { label: string; value: string; hint?: string },
  word: string,
): Promise<string | undefined> {
  const answer = await ask({ title, input, answers: [{ word, key: "do" }] });
  const text = answer?.text.trim() ?? "";
  return text === "" ? undefined : text;
}

/** Asks whether to go on. */
export async function sure(
  title: string,
  body: ComponentChildren,
  word: string,
  danger = true,
): Promise<boolean> {
  return (await ask({ title, body, answers: [{ word, key: "do", danger }] })) !== undefined;
}

/** Where questions appear. */
export function Asking() {
  const now = open.value;
  return now ? <Shown key={now.question} {...now} /> : null;
}

function Shown(props: { question: Question; done: (answer: Answer | undefined) => void }) {
  const { question, done } = props;
  const { input } = question;
  const dialog = useRef<HTMLDialogElement>(null);
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    dialog.current?.showModal();
    field.current?.select();
  }, []);
  // Closing gives the focus back to where it was, and at once: later it would be taken from
  // wherever somebody went since.
  const end = (answer?: Answer) => {
    dialog.current?.close();
    done(answer);
  };
  const answer = (key: string) => {
    const text = field.current?.value ?? "";
    if (question.mustBe !== undefined && text !== question.mustBe) {
      field.current?.setCustomValidity("This is not the name above");
      field.current?.reportValidity();
      return;
    }
    end({ key, text });
  };
  const first = question.answers[0]?.key ?? "";
  return (
    <dialog ref={dialog} aria-labelledby="question" onClose={() => done(undefined)}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          answer(first);
        }}
      >
        <h2 id="question">{question.title}</h2>
        {question.body && <div>{question.body}</div>}
        {input && (
          <Labelled label={input.label} hint={input.hint}>
            {(control) => (
              <input
                {...control}
                ref={field}
                defaultValue={input.value}
                autocomplete="off"
                spellcheck={false}
                onInput={(event) => event.currentTarget.setCustomValidity("")}
              />
            )}
          </Labelled>
        )}
        <div class="actions">
          <button type="button" onClick={() => end()}>
            Cancel
          </button>
          {question.answers.toReversed().map(({ word, key, danger }) => (
            <button
              key={key}
              type={key === first ? "submit" : "button"}
              class={danger ? "danger" : key === first ? "main" : ""}
              onClick={key === first ? undefined : () => answer(key)}
            >
              {word}
            </button>
          ))}
        </div>
      </form>
    </dialog>
  );
}
