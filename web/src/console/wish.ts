import { type Egress, InvalidError, type WorkshopWish } from "@clarateach/sdk";

/** What the form holds, as it was typed. */
export interface Typed {
  name: string;
  seats: string;
  runtime: string;
  ttl: string;
  egress: string;
  allow: string;
  env: string;
  instructions: string;
  vcpus: string;
  memoryMib: string;
  diskMib: string;
}

/** What a form begins with: a class of an afternoon. */
export const FIRST: Typed = {
  name: "",
  seats: "10",
  runtime: "container",
  ttl: "4h",
  egress: "internet",
  allow: "",
  env: "",
  instructions: "",
  vcpus: "",
  memoryMib: "",
  diskMib: "",
};

/** The wish in a form, or what is wrong with it, by field. */
export function wishOf(typed: Typed): { wish: WorkshopWish } | { faults: Record<string, string> } {
  const faults: Record<string, string> = {};
  const env: Record<string, string> = {};
  for (const line of typed.env.split("\n").filter((line) => line.trim() !== "")) {
    const [, name, value] = /^\s*([A-Za-z_]\w*)=(.*)$/.exec(line) ?? [];
    if (name === undefined) faults.env = `"${line.trim()}" is not NAME=value`;
    else env[name] = value ?? "";
  }
  const seats = Number(typed.seats);
  if (!Number.isInteger(seats) || seats < 1) faults.seats = "A number from 1";
  if (typed.name.trim() === "") faults.name = "Say what people call it";
  const resources = Object.fromEntries(
    (["vcpus", "memoryMib", "diskMib"] as const)
      .filter((key) => typed[key].trim() !== "")
      .map((key) => [key, Number(typed[key])]),
  );
  if (Object.keys(faults).length > 0) return { faults };
  const allow = typed.allow.split(/[\s,]+/).filter((entry) => entry !== "");
  const egress: Egress = {
    mode: typed.egress as Egress["mode"],
    ...(typed.egress === "allow_list" && { allow }),
  };
  const wish: WorkshopWish = {
    name: typed.name.trim(),
    seats,
    runtime: typed.runtime as WorkshopWish["runtime"],
    ttl: typed.ttl as `${number}h`,
    egress,
    env,
    resources,
    instructions: typed.instructions,
  };
  return { wish };
}

/** What the server says is wrong, by the form's fields. */
export function faultsOf(error: unknown): Record<string, string> {
  if (!(error instanceof InvalidError)) return {};
  const names: Record<string, string> = { memory_mib: "memoryMib", disk_mib: "diskMib" };
  return Object.fromEntries(
    error.fields.map(({ field, description }) => {
      const [first = "", second = ""] = field.split(".");
      const last = first === "resources" ? second : first === "egress" && second ? "allow" : first;
      return [names[last] ?? last, description];
    }),
  );
}
