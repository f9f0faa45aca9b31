//! 23 November 2026: the first tables.

use sea_orm_migration::prelude::*;

use super::{
    Kind::{Big, Bytes, Flag, Int, MaybeInt, MaybeText, MaybeTime, Serial, Text, Time},
    refer, table,
};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

/// Indexes, and `WHERE` conditions that make a rule of one: both databases
/// read them alike.
const INDEXES: [&str; 13] = [
    "CREATE UNIQUE INDEX principals_name ON principals (name)",
    "CREATE UNIQUE INDEX api_tokens_hash ON api_tokens (hash)",
    "CREATE UNIQUE INDEX workshops_code ON workshops (code)",
    "CREATE INDEX workshops_owner ON workshops (owner_id, created_at)",
    "CREATE INDEX workshops_phase ON workshops (phase)",
    // Finding the free seat with the lowest number touches only free ones.
    "CREATE INDEX seats_free ON seats (workshop_id, seat) WHERE stay_id IS NULL",
    "CREATE INDEX stays_workshop ON stays (workshop_id, seat)",
    "CREATE UNIQUE INDEX stays_reconnect ON stays (reconnect_hash)",
    "CREATE UNIQUE INDEX workers_living ON workers (workshop_id, ordinal) WHERE deleted_at IS NULL",
    "CREATE INDEX worker_runs_workshop ON worker_runs (workshop_id)",
    "CREATE INDEX attempts_worker ON attempts (workshop_id, ordinal, id)",
    "CREATE INDEX requests_age ON requests (created_at)",
    "CREATE INDEX events_workshop ON events (workshop_id, revision)",
];

#[allow(
    elided_lifetimes_in_paths,
    reason = "async_trait's signature of `up` has none"
)]
#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in tables() {
            manager.create_table(table).await?;
        }
        for index in INDEXES {
            manager.get_connection().execute_unprepared(index).await?;
        }
        Ok(())
    }
}

fn tables() -> Vec<TableCreateStatement> {
    let mut api_tokens = table(
        "api_tokens",
        &["id"],
        &[
            ("id", Text),
            ("principal_id", Text),
            ("label", Text),
            ("hash", Text),
            ("created_at", Time),
            ("revoked_at", MaybeTime),
        ],
    );
    refer(&mut api_tokens, "principal_id", "principals");
    let mut workshops = workshops();
    refer(&mut workshops, "owner_id", "principals");
    let mut tables = vec![
        table(
            "principals",
            &["id"],
            &[
                ("id", Text),
                ("name", Text),
                ("role", Text),
                ("created_at", Time),
            ],
        ),
        api_tokens,
        workshops,
    ];
    // These belong to a workshop and go with it when it is purged.
    for mut part in parts() {
        refer(&mut part, "workshop_id", "workshops");
        tables.push(part);
    }
    tables.extend(records());
    tables
}

fn workshops() -> TableCreateStatement {
    table(
        "workshops",
        &["id"],
        &[
            ("id", Text),
            ("owner_id", Text),
            ("name", Text),
            ("seats", Int),
            ("runtime", Text),
            ("code", Text),
            ("desired", Text),
            ("phase", Text),
            ("reason", Text),
            ("generation", Big),
            ("revision", Big),
            ("ran", Flag),
            ("since", Time),
            ("notified", MaybeInt),
            ("vcpus", Int),
            ("memory_mib", Int),
            ("disk_mib", Int),
            ("egress", Text),
            ("template", Text),
            ("instructions", Text),
            ("env_names", Text),
            ("env_sealed", Bytes),
            ("ca_certificate", Text),
            ("ca_key_sealed", Bytes),
            ("seat_key_public", Text),
            ("seat_key_sealed", Bytes),
            ("created_at", Time),
            ("expires_at", Time),
            ("deleted_at", MaybeTime),
        ],
    )
}

fn parts() -> [TableCreateStatement; 4] {
    [
        table(
            "seats",
            &["workshop_id", "seat"],
            &[
                ("workshop_id", Text),
                ("seat", Int),
                ("worker", Int),
                ("slot", Int),
                ("incarnation", Big),
                ("epoch", Big),
                ("wish", Text),
                ("stay_id", MaybeText),
                ("state", Text),
                ("reason", Text),
                ("queue_position", Int),
                ("restarts", Int),
                ("terminals", Int),
                ("ready_at", MaybeTime),
                ("last_input_at", MaybeTime),
            ],
        ),
        table(
            "stays",
            &["id"],
            &[
                ("id", Text),
                ("workshop_id", Text),
                ("seat", Int),
                ("learner_id", Text),
                ("display_name", Text),
                ("reconnect_hash", Text),
                ("joined_at", Time),
                ("ended_at", MaybeTime),
            ],
        ),
        table(
            "workers",
            &[],
            &[
                ("id", Serial),
                ("workshop_id", Text),
                ("ordinal", Int),
                ("name", Text),
                ("provider_ref", Text),
                ("zone", Text),
                ("state", Text),
                ("reason", Text),
                ("address", Text),
                ("csr", Text),
                ("certificate", Text),
                ("certificate_expires_at", MaybeTime),
                ("agent_version", Text),
                ("created_at", Time),
                ("ready_at", MaybeTime),
                ("deleted_at", MaybeTime),
            ],
        ),
        table(
            "attempts",
            &[],
            &[
                ("id", Serial),
                ("workshop_id", Text),
                ("ordinal", Int),
                ("verb", Text),
                ("request_id", Text),
                ("started_at", Time),
                ("ended_at", MaybeTime),
                ("error", Text),
            ],
        ),
    ]
}

/// These outlive a purged workshop: what was billed and what happened.
fn records() -> [TableCreateStatement; 5] {
    [
        table(
            "worker_runs",
            &[],
            &[
                ("id", Serial),
                ("worker_id", Big),
                ("workshop_id", Text),
                ("machine_type", Text),
                ("zone", Text),
                ("spot", Flag),
                ("from_at", Time),
                ("to_at", MaybeTime),
            ],
        ),
        table(
            "requests",
            &["scope", "request_id"],
            &[
                ("scope", Text),
                ("request_id", Text),
                ("body", Text),
                ("answer_sealed", Bytes),
                ("created_at", Time),
            ],
        ),
        table(
            "events",
            &[],
            &[
                ("id", Serial),
                ("workshop_id", MaybeText),
                ("revision", Big),
                ("actor", Text),
                ("verb", Text),
                ("object", Text),
                ("reason", Text),
                ("data", Text),
                ("at", Time),
            ],
        ),
        table(
            "leases",
            &["name"],
            &[
                ("name", Text),
                ("holder", Text),
                ("fence", Big),
                ("expires_millis", Big),
            ],
        ),
        table("settings", &["name"], &[("name", Text), ("value", Bytes)]),
    ]
}
