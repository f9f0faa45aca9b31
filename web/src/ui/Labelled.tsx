import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";

/** What a control needs, to be one with its label and its hint. */
export interface Control {
  readonly id: string;
  readonly "aria-describedby": string | undefined;
}

/** A label above a control, and below it what it means: read after its name, and not as it. */
export function Labelled(props: {
  label: string;
  hint?: ComponentChildren;
  children: (control: Control) => ComponentChildren;
}) {
  const { label, hint, children } = props;
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children({ id, "aria-describedby": hint ? `${id}-hint` : undefined })}
      {hint && <small id={`${id}-hint`}>{hint}</small>}
    </div>
  );
}
