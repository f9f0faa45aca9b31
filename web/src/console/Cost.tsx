import { type Client, type CostEstimate, UnsupportedError } from "@clarateach/sdk";
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { type Typed, wishOf } from "./wish.js";

/** Waits until nobody types, in milliseconds. */
const STILL_MS = 400;

/** What a workshop of this shape would cost, where the server can say. */
export function Cost({ client, typed }: { client: Client; typed: Typed }) {
  const cost = useSignal<CostEstimate | undefined>(undefined);
  const said = useSignal("");
  const { seats, runtime, ttl, vcpus, memoryMib, diskMib } = typed;
  useEffect(() => {
    const over = new AbortController();
    const timer = setTimeout(async () => {
      const made = wishOf({ ...typed, name: typed.name || "x" });
      cost.value = undefined;
      said.value = "";
      if ("faults" in made || !made.wish.ttl) return;
      const { wish } = made;
      try {
        const asked = { ...wish, ttl: wish.ttl as string as `${number}h`, signal: over.signal };
        cost.value = await client.workshops.estimateCost(asked);
      } catch (error) {
        if (over.signal.aborted) return;
        // On one's own box nothing is billed, and no server knows the price of it.
        const silent = error instanceof UnsupportedError;
        said.value = silent ? "This server does not estimate costs yet." : "";
      }
    }, STILL_MS);
    return () => {
      clearTimeout(timer);
      over.abort();
    };
  }, [client, seats, runtime, ttl, vcpus, memoryMib, diskMib]);
  const now = cost.value;
  if (!now) return <p class="aside">{said.value}</p>;
  return (
    <p class="callout info" role="status">
      <strong>About ${now.totalUsd.toFixed(2)}</strong> for {now.workers}{" "}
      {now.workers === 1 ? "worker" : "workers"}. {now.explanation}
    </p>
  );
}
