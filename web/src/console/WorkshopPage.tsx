import type { Client, WorkshopInfo } from "@clarateach/sdk";
import { useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { useLocation } from "preact-iso";
import { span, useNow } from "../app/time.js";
import { ask, askText, sure } from "../ui/ask.js";
import { Copy } from "../ui/Copy.js";
import { lately } from "../ui/Lazy.js";
import { costOf } from "./costs.js";
import { takenOf } from "./List.js";
import { joinLink } from "./link.js";
import { Room } from "./room.js";
import { SeatPanel } from "./SeatPanel.js";
import { Status } from "./Status.js";
import { Tile } from "./Tile.js";

const Invite = lately(() => import("./Invite.js").then(({ Invite }) => Invite));

const HOUR = 3_600_000;
/** Idle times of all tiles move so often, in milliseconds. */
const TICK_MS = 2_000;

/** One workshop: the way in, the wall of seats, and what can be done. */
export function WorkshopPage({ client, id }: { client: Client; id: string }) {
  const room = useMemo(() => new Room(client, id), [client, id]);
  const inviting = useSignal(false);
  const opened = useSignal<number | undefined>(undefined);
  const now = useNow(TICK_MS);
  useEffect(() => {
    room.open();
    return () => room.close();
  }, [room]);
  const info = room.info.value;
  useEffect(() => {
    document.title = `${info?.name ?? "Workshop"} · ClaraTeach`;
  }, [info?.name]);
  if (!info) {
    return room.trouble.value ? (
      <p class="callout bad" role="alert">
        {room.trouble.value} <a href="/console">All workshops</a>
      </p>
    ) : (
      <p class="aside">Asking the server…</p>
    );
  }
  const seats = room.seats.value;
  const invite = () => {
    inviting.value = true;
  };
  const view = seats.find(({ seat }) => seat === opened.value);
  return (
    <>
      <Head info={info} room={room} now={now} onInvite={invite} />
      {room.trouble.value && (
        <p class="callout bad" role="alert">
          {room.trouble.value}
        </p>
      )}
      {room.notices.value.map(({ message }) => (
        <p key={message} class="callout warn" role="status">
          {message}
        </p>
      ))}
      {info.workers
        .filter(({ state, network }) => state === "unreachable" || network !== "")
        .map(({ name, state, reason, network }) => (
          <p key={name} class="callout warn">
            <strong>{name}</strong> is {state}. {reason} {network}
          </p>
        ))}
      <section aria-label="Seats">
        <ul class="wall">
          {seats.map((one) => (
            <Tile
              key={one.seat}
              view={one}
              now={now}
              onOpen={() => {
                opened.value = one.seat;
              }}
            />
          ))}
        </ul>
      </section>
      {view && (
        <SeatPanel
          key={view.seat}
          room={room}
          view={view}
          onClose={() => {
            opened.value = undefined;
          }}
        />
      )}
      {inviting.value && (
        <Invite
          name={info.name}
          code={info.code}
          onClose={() => {
            inviting.value = false;
          }}
        />
      )}
    </>
  );
}

function Head(props: { info: WorkshopInfo; room: Room; now: number; onInvite(): void }) {
  const { info, room, now, onInvite } = props;
  const { route } = useLocation();
  const over = /^delet/.test(info.status);
  const left = info.expiresAt ? info.expiresAt.getTime() - now : 0;
  const extend = () => room.act((workshop) => workshop.update({ ttl: Math.max(left, 0) + HOUR }));
  const resize = async () => {
    const field = {
      label: "Seats",
      value: String(info.seats),
      hint: "Fewer takes free seats away, highest first.",
    };
    const text = await askText("How many seats?", field, "Change");
    const seats = Number(text);
    if (text && Number.isInteger(seats)) await room.act((workshop) => workshop.update({ seats }));
  };
  const stopped = info.status === "stopped" || info.status === "stopping";
  const pause = async () => {
    if (stopped) {
      await room.act((workshop) => workshop.start());
      return;
    }
    const body =
      "Shells and programs end. Seats, learners and their files are kept, and starting it brings them back. Its time goes on.";
    if (await sure(`Stop ${info.name}?`, body, "Stop")) {
      await room.act((workshop) => workshop.stop());
    }
  };
  const remove = async () => {
    const taken = takenOf(info.seatList);
    const answer = await ask({
      title: `Delete ${info.name}?`,
      body: (
        <p>
          It ends for {taken === 1 ? "one learner" : `${taken} learners`}, and all files of all{" "}
          {info.seats} seats are gone for good. To do it, type its name:{" "}
          <strong>{info.name}</strong>
        </p>
      ),
      input: { label: "Name of the workshop", value: "" },
      mustBe: info.name,
      answers: [{ word: "Delete it", key: "do", danger: true }],
    });
    if (answer && (await room.act((workshop) => workshop.delete()))) route("/console");
  };
  return (
    <header class="head">
      <div class="row wrap">
        <h1 class="cut">{info.name}</h1>
        <Status state={info.status} why={info.reason} />
        <span class="grow" />
        {!over && (
          <>
            <button type="button" onClick={() => void extend()}>
              One hour more
            </button>
            <button type="button" onClick={() => void resize()}>
              Seats…
            </button>
            {info.status !== "failed" && (
              <button type="button" onClick={() => void pause()}>
                {stopped ? "Start" : "Stop…"}
              </button>
            )}
            <button type="button" class="danger" onClick={() => void remove()}>
              Delete…
            </button>
          </>
        )}
      </div>
      {info.reason && info.status !== "running" && <p class="aside">{info.reason}</p>}
      <dl class="facts line-up">
        <dt>Seats taken</dt>
        <dd>
          {takenOf(info.seatList)} of {info.seats}
        </dd>
        <dt>Ready</dt>
        <dd>{info.seatList.filter(({ state }) => state === "ready").length}</dd>
        <dt>Time left</dt>
        <dd>{over ? "–" : left > 0 ? span(left) : "over"}</dd>
        <dt>Cost so far</dt>
        <dd title={room.cost.value?.explanation}>{costOf(room.cost.value)}</dd>
        <dt>Machines</dt>
        <dd>{info.runtime}</dd>
        <dt>Reach</dt>
        <dd>{info.egress.mode.replace("_", " ")}</dd>
      </dl>
      {!over && (
        <div class="row wrap">
          <span class="aside">Join link</span>
          <code class="big">{joinLink(info.code)}</code>
          <Copy text={joinLink(info.code)} what="join link" />
          <button type="button" onClick={onInvite}>
            Show large, with QR code
          </button>
        </div>
      )}
    </header>
  );
}
