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
    id: `field-${name}`,
    name,
    value,
    "aria-describedby": `hint-${name}`,
    "aria-invalid": fault !== undefined,
    onInput: (event: Event) => onValue((event.currentTarget as HTMLInputElement).value),
  };
  return (
    <div class="field">
      <label for={common.id}>{label}</label>
      {choices ? (
        <select {...common}>
          {Object.entries(choices).map(([key, words]) => (
            <option key={key} value={key}>
              {words}
            </option>
          ))}
        </select>
      ) : rows ? (
        <textarea {...common} rows={rows} spellcheck={false} />
      ) : (
        <input {...common} type={type ?? "text"} maxLength={max} autocomplete="off" />
      )}
      <small id={`hint-${name}`}>
        {fault !== undefined && <strong class="fault">{fault}. </strong>}
        {hint}
      </small>
    </div>
  );
}
