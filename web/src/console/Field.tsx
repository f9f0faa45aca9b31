import { Labelled } from "../ui/Labelled.js";

interface Props {
  name: string;
  label: string;
  value: string;
  hint: string;
  fault: string | undefined;
  type?: "text" | "number";
  max?: number;
  /** A text of so many lines. */
  rows?: number;
  /** One of these, by value, with its words. */
  choices?: Record<string, string>;
  onValue(value: string): void;
}

/** A label, a control, what it means, and what is wrong with it. */
export function Field({
  name,
  label,
  value,
  hint,
  fault,
  type,
  max,
  rows,
  choices,
  onValue,
}: Props) {
  const common = {
    name,
    value,
    "aria-invalid": fault !== undefined,
    onInput: (event: Event) => onValue((event.currentTarget as HTMLInputElement).value),
  };
  const words = (
    <>
      {fault !== undefined && <strong class="fault">{fault}. </strong>}
      {hint}
    </>
  );
  return (
    <Labelled label={label} hint={words}>
      {(control) =>
        choices ? (
          <select {...control} {...common}>
            {Object.entries(choices).map(([key, said]) => (
              <option key={key} value={key}>
                {said}
              </option>
            ))}
          </select>
        ) : rows ? (
          <textarea {...control} {...common} rows={rows} spellcheck={false} />
        ) : (
          <input
            {...control}
            {...common}
            type="text"
            inputMode={type === "number" ? "numeric" : "text"}
            {...(max === undefined ? {} : { maxLength: max })}
            autocomplete="off"
          />
        )
      }
    </Labelled>
  );
}
