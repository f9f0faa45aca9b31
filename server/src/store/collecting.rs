//! That somebody reads a seat's files, to keep a class's work.

use chrono::{DateTime, TimeDelta, Utc};
use clarateach_domain::ids::{SeatNo, WorkshopId};
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};

use super::{Event, Notice, NoticeKind, Store, StoreError, entity::event, record, record_notice};

const VERB: &str = "seat.collected";
/// Who goes on reading asks for a fresh token each few minutes: one line for all of it.
const ONE_READING: TimeDelta = TimeDelta::hours(1);

impl Store {
    /// Writes who reads the files of `seat`, and tells its learner. Again within the hour,
    /// it is the same reading.
    pub async fn collected(
        &self,
        actor: &str,
        id: &WorkshopId,
        seat: SeatNo,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let object = format!("seat/{seat}");
        let txn = self.begin_write().await?;
        let known = event::Entity::find()
            .filter(event::Column::WorkshopId.eq(id.as_str()))
            .filter(event::Column::Verb.eq(VERB))
            .filter(event::Column::Object.eq(&object))
            .filter(event::Column::Actor.eq(actor))
            .filter(event::Column::At.gt(now - ONE_READING))
            .count(&*txn)
            .await?;
        if known > 0 {
            return Ok(());
        }
        let event = Event {
            actor,
            verb: VERB,
            object: &object,
            reason: "its files are read for the archive of the class",
            data: "",
        };
        record(&txn, id, event, now).await?;
        let notice = Notice {
            kind: NoticeKind::Collected,
            message: "your instructor keeps a copy of this seat's files".to_owned(),
            at: None,
            seat: Some(seat.get()),
        };
        record_notice(&txn, id, actor, &notice, now).await?;
        txn.commit().await?;
        self.changed(id);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_reading_is_one_event() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::of_test(dir.path()).await;
        let id = WorkshopId::from_random([7; 16]);
        let seat = SeatNo::try_from(3).unwrap();
        let began = Utc::now();
        // Who reads, after how many minutes, and the events by then.
        for (actor, minutes, events) in [
            ("pr-a", 0, 1),
            ("pr-a", 10, 1),
            ("pr-b", 10, 2),
            ("pr-a", 59, 2),
            ("pr-a", 61, 3),
        ] {
            let now = began + TimeDelta::minutes(minutes);
            store.collected(actor, &id, seat, now).await.unwrap();
            let told = store.told(&id, &[VERB]).await;
            assert_eq!(told.len(), events, "{actor} after {minutes} minutes");
        }
    }
}
