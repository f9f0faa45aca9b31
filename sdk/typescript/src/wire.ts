// Messages of the schema <-> the plain objects of types.ts.

import type { DescEnum } from "@bufbuild/protobuf";
import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";
import { type Duration, invalid, milliseconds } from "./duration.js";
import * as pb from "./gen/clarateach/workshop/v1/workshop_pb.js";
import type * as plain from "./types.js";

/** A number of an enum as its word; one from a later schema keeps its number. */
export function word<T extends string>(schema: DescEnum, number: number): T {
  const known = number === 0 ? undefined : schema.value[number];
  return (known?.localName.toLowerCase() ?? `unknown-${number}`) as T;
}

/** A word as its number; `field` names it in the error for what is none. */
export function number<T extends number>(schema: DescEnum, text: string, field: string): T {
  const words = schema.values.filter((value) => value.number !== 0);
  const found = words.find((value) => value.localName.toLowerCase() === text);
  if (found !== undefined) return found.number as T;
  const known = words.map((value) => value.localName.toLowerCase());
  throw invalid(field, `must be one of ${known.join(", ")}`);
}

/** A length of time as the schema has it; absent stays absent. */
export function duration(
  length: Duration | undefined,
  field: string,
): { seconds: bigint; nanos: number } | undefined {
  if (length === undefined) return undefined;
  const ms = milliseconds(length, field);
  const seconds = Math.floor(ms / 1000);
  return { seconds: BigInt(seconds), nanos: Math.round((ms - seconds * 1000) * 1e6) };
}

/** What seats may reach, for a request. */
export function egressOf(egress: plain.Egress): { mode: pb.EgressPolicy_Mode; allow: string[] } {
  return {
    mode: number(pb.EgressPolicy_ModeSchema, egress.mode, "egress.mode"),
    allow: [...(egress.allow ?? [])],
  };
}

/** A workshop. */
export function workshop(from: pb.Workshop): plain.WorkshopInfo {
  const seatList = from.seatList.map(seat);
  return {
    id: from.id,
    name: from.name,
    seats: from.seats,
    runtime: word(pb.RuntimeSchema, from.runtime),
    code: from.code,
    status: word(pb.WorkshopStatusSchema, from.status),
    reason: from.reason,
    createdAt: date(from.createdAt),
    expiresAt: date(from.expiresAt),
    deletedAt: date(from.deletedAt),
    workers: from.workers.map(worker),
    seatList,
    seatsReady: seatList.filter(({ state }) => state === "ready").length,
    resources: resources(from.resources),
    egress: {
      mode: word(pb.EgressPolicy_ModeSchema, from.egress?.mode ?? pb.EgressPolicy_Mode.INTERNET),
      allow: from.egress?.allow ?? [],
    },
    template: from.template,
    instructions: from.instructions,
    owner: from.owner,
    envNames: from.envNames,
    caCertificate: from.caCertificate,
    revision: Number(from.revision),
  };
}

function worker(from: pb.Worker): plain.WorkerInfo {
  const { name, address, zone, reason, agentVersion, network } = from;
  return {
    name,
    address,
    zone,
    state: word(pb.WorkerStateSchema, from.state),
    reason,
    certificateExpiresAt: date(from.certificateExpiresAt),
    agentVersion,
    network,
  };
}

function resources(from: pb.Resources | undefined): plain.Resources {
  if (from === undefined) return {};
  const { vcpus, memoryMib, diskMib, networkMbits, diskMibPerSecond, processes } = from;
  return { vcpus, memoryMib, diskMib, networkMbits, diskMibPerSecond, processes };
}

/** A seat as instructors see it. */
export function seat(from: pb.Seat): plain.SeatInfo {
  return {
    workshopId: from.workshopId,
    seat: from.seat,
    state: word(pb.SeatStateSchema, from.state),
    reason: from.reason,
    taken: from.taken,
    learner: from.learner,
    joinedAt: date(from.joinedAt),
    lastInputAt: date(from.lastInputAt),
    terminals: from.terminals,
    restarts: from.restarts,
    epoch: Number(from.epoch),
    worker: from.worker,
  };
}

/** A notice. */
export function notice(from: pb.Notice): plain.Notice {
  return {
    kind: word(pb.Notice_KindSchema, from.kind),
    message: from.message,
    at: date(from.at),
  };
}

/** A seat as its learner sees it. */
export function seatChange(from: pb.WatchSeatResponse): plain.SeatChange {
  return {
    state: word(pb.SeatStateSchema, from.state),
    reason: from.reason,
    queuePosition: from.queuePosition,
    notices: from.notices.map(notice),
    expiresAt: date(from.expiresAt),
    workshopStatus: word(pb.WorkshopStatusSchema, from.workshopStatus),
    revision: Number(from.revision),
  };
}

/** A token, without its text. */
export function apiToken(from: pb.ApiToken | undefined): plain.ApiToken {
  return {
    id: from?.id ?? "",
    label: from?.label ?? "",
    principal: from?.principal ?? "",
    role: word(pb.RoleSchema, from?.role ?? 0),
    createdAt: date(from?.createdAt),
    revokedAt: date(from?.revokedAt),
  };
}

/** A time. */
export function date(from: Timestamp | undefined): Date | undefined {
  return from && timestampDate(from);
}
