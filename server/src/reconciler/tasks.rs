//! Tasks that each work for one workshop: how one ends is told with the
//! workshop it was for, a panic too.

use std::collections::HashMap;

use clarateach_domain::ids::WorkshopId;
use tokio::task::{Id, JoinError, JoinSet};

pub(super) struct Tasks<T> {
    running: JoinSet<T>,
    whose: HashMap<Id, WorkshopId>,
}

impl<T: Send + 'static> Tasks<T> {
    pub(super) fn new() -> Self {
        Self {
            running: JoinSet::new(),
            whose: HashMap::new(),
        }
    }

    pub(super) fn spawn(
        &mut self,
        workshop: &WorkshopId,
        task: impl Future<Output = T> + Send + 'static,
    ) {
        let id = self.running.spawn(task).id();
        self.whose.insert(id, workshop.clone());
    }

    /// The next that ends; `None` when none is left. Nothing is lost if this is
    /// dropped half way.
    pub(super) async fn next(&mut self) -> Option<(WorkshopId, Result<T, JoinError>)> {
        let ended = self.running.join_next_with_id().await?;
        let (id, ended) = match ended {
            Ok((id, value)) => (id, Ok(value)),
            Err(cause) => (cause.id(), Err(cause)),
        };
        let workshop = self.whose.remove(&id);
        workshop.map(|workshop| (workshop, ended))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_the_task_of_one_workshop_only() {
        let [first, second] = [[1; 16], [2; 16]].map(WorkshopId::from_random);
        let mut tasks = Tasks::new();
        tasks.spawn(&first, std::future::pending());
        tasks.spawn(&second, async { panic!("on purpose") });
        let (whose, ended): (_, Result<(), _>) = tasks.next().await.unwrap();
        assert_eq!(whose, second);
        assert!(ended.unwrap_err().is_panic());
        assert_eq!(tasks.whose.len(), 1, "the other still runs");
    }
}
