import { test } from "vitest";
import { actsOf } from "../support/acts.js";
import { casesOf, tell } from "../support/kit.js";
import { stories } from "../support/live.js";

// Every client does the same: the cases of sdk/conformance, by every way.
stories("the conformance kit", (house) => {
  for (const one of casesOf("typescript")) test(one.name, () => tell(one, actsOf(house)));
});
