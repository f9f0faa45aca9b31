import { Plain } from "../app/Plain.js";
export function Console() {
  return <Plain title="Console">…</Plain>;
}
