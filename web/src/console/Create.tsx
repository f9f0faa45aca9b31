import type { Client } from "@clarateach/sdk";
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { useLocation } from "preact-iso";
import { Cost } from "./Cost.js";
import { Field } from "./Field.js";
import { told } from "./session.js";
import { FIRST, faultsOf, type Typed, wishOf } from "./wish.js";

/** A form for a new workshop, which says what each choice means. */
export function Create({ client }: { client: Client }) {
  const { route } = useLocation();
  const typed = useSignal<Typed>(FIRST);
  const faults = useSignal<Record<string, string>>({});
  const trouble = useSignal("");
  const busy = useSignal(false);
  useEffect(() => {
    document.title = "New workshop · ClaraTeach";
  }, []);
  const set = (name: keyof Typed) => (value: string) => {
    typed.value = { ...typed.value, [name]: value };
    const { [name]: _, ...others } = faults.value;
    faults.value = others;
  };
  const field = (name: keyof Typed) => ({
    name,
    value: typed.value[name],
    fault: faults.value[name],
    onValue: set(name),
  });
  const submit = async (event: Event) => {
    event.preventDefault();
    trouble.value = "";
    const made = wishOf(typed.value);
    faults.value = "faults" in made ? made.faults : {};
    if ("faults" in made) return;
    busy.value = true;
    try {
      const workshop = await client.workshops.create(made.wish);
      route(`/console/${workshop.id}`);
    } catch (error) {
      faults.value = faultsOf(error);
      trouble.value = told(error);
    }
    busy.value = false;
  };
  return (
    <>
      <h1>New workshop</h1>
      <form class="form" onSubmit={submit} noValidate>
        {trouble.value && (
          <p class="callout bad" role="alert">
            {trouble.value}
          </p>
        )}
        <Field {...field("name")} label="Name" hint="Learners see it when they join." max={100} />
        <div class="two">
          <Field
            {...field("seats")}
            label="Seats"
            type="number"
            hint="One machine each. More can be added later."
          />
          <Field
            {...field("ttl")}
            label="Time"
            choices={{
              "1h": "1 hour",
              "2h": "2 hours",
              "4h": "4 hours",
              "8h": "8 hours",
              "24h": "a day",
            }}
            hint="Then it deletes itself. It can be extended."
          />
        </div>
        <Field
          {...field("runtime")}
          label="Machines"
          choices={{
            container: "Containers: start at once, share the worker's kernel",
            firecracker: "MicroVMs: a kernel of their own, the stronger wall",
          }}
          hint="What the server does not give it refuses, with its reason."
        />
        <Field
          {...field("egress")}
          label="What seats may reach"
          choices={{
            internet: "The internet, never private networks",
            allow_list: "Only what is on a list",
            none: "Nothing",
          }}
          hint="It can be changed while learners work."
        />
        {typed.value.egress === "allow_list" && (
          <Field
            {...field("allow")}
            label="The list"
            rows={3}
            hint="Names such as pypi.org or *.pythonhosted.org, and ranges such as 203.0.113.0/24; at most 100."
          />
        )}
        <Field
          {...field("instructions")}
          label="Instructions"
          rows={8}
          hint="Markdown, beside each learner's terminal. Blocks of sh get a button that runs them."
        />
        <details>
          <summary>Environment and size of machines</summary>
          <div class="stack">
            <Field
              {...field("env")}
              label="Environment"
              rows={3}
              hint="NAME=value, one a line. Learners can read them; this page cannot, later."
            />
            <div class="three">
              <Field {...field("vcpus")} label="Processors" type="number" hint="1 to 8" />
              <Field
                {...field("memoryMib")}
                label="Memory, MiB"
                type="number"
                hint="128 to 16384"
              />
              <Field {...field("diskMib")} label="Disk, MiB" type="number" hint="64 to 65536" />
            </div>
          </div>
        </details>
        <Cost client={client} typed={typed.value} />
        <div class="row">
          <button type="submit" class="main" disabled={busy.value}>
            {busy.value ? "Asking…" : "Create"}
          </button>
          <a href="/console">Cancel</a>
        </div>
      </form>
    </>
  );
}
