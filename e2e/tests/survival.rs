//! What is killed comes back, and nobody loses a byte.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on should stop"
)]

use clarateach_e2e::{
    House, house::patience, house_or_skip, learner::Learner, terminal::Terminal, wait::until,
};
use clarateach_proto::workshop::WorkshopStatus;

const LAST: u32 = 400;

/// Opens again where `offset` of `instance` was left.
async fn resume(learner: &Learner, instance: &str, offset: u64) -> Terminal {
    let query = format!("?instance={instance}&offset={offset}");
    until("the terminal to open again", patience(), async || {
        learner
            .terminal(&query)
            .await
            .map_err(|refused| format!("{refused:?}"))
    })
    .await
}

/// Reads for one number more, then leaves without a word.
async fn leave(mut terminal: Terminal, text: &mut Vec<u8>, number: u32) -> (String, u64) {
    terminal.until(&format!("n{number:04}\r\n")).await;
    text.extend_from_slice(&terminal.seen);
    (terminal.instance.clone(), terminal.offset)
}

#[tokio::test]
async fn a_shell_survives_the_browser_the_agent_and_the_server() {
    let mut house = house_or_skip!();
    let workshop = house.class("Survival", 1).await;
    let learner = house.join(&workshop.code, "a").await.unwrap();
    let mut terminal = learner.terminal("").await.unwrap();
    let before = terminal.run("echo $$").await;
    terminal.seen.clear();
    let mut text = Vec::new();
    terminal
        .type_in(format!(
            // No process a number: each costs a second where a kernel is emulated.
            "stty -echo; mkfifo /tmp/never; exec 9<>/tmp/never; \
             for i in $(seq -f n%04g {LAST}); do echo $i; read -rt 0.05 -u 9; done\r"
        ))
        .await;

    // The browser goes.
    let (instance, offset) = leave(terminal, &mut text, 20).await;
    let terminal = resume(&learner, &instance, offset).await;

    // The agent dies.
    let agents = house.agents();
    assert_eq!(agents.len(), 1);
    let agent = rustix::process::Pid::from_raw(agents[0]).unwrap();
    rustix::process::kill_process(agent, rustix::process::Signal::KILL).unwrap();
    let (offset, kept) = drain(terminal).await;
    text.extend_from_slice(&kept);
    let terminal = resume(&learner, &instance, offset).await;
    let (_, offset) = leave(terminal, &mut text, 150).await;

    // The server dies, and the shell's learner does not even notice.
    let mut terminal = resume(&learner, &instance, offset).await;
    house.kill_server();
    terminal.until("n0200\r\n").await;
    house.start_server().await;
    let (_, offset) = {
        text.extend_from_slice(&terminal.seen);
        (terminal.instance.clone(), terminal.offset)
    };
    drop(terminal);

    // Both die at once.
    let agent = rustix::process::Pid::from_raw(house.agents()[0]).unwrap();
    rustix::process::kill_process(agent, rustix::process::Signal::KILL).unwrap();
    house.kill_server();
    house.start_server().await;
    let mut terminal = resume(&learner, &instance, offset).await;
    terminal.until(&format!("n{LAST:04}\r\n")).await;
    text.extend_from_slice(&terminal.seen);

    let text = String::from_utf8(text).unwrap();
    let numbers: Vec<u32> = text
        .split("\r\n")
        .filter_map(|line| line.rsplit('n').next()?.parse().ok())
        .collect();
    let want: Vec<u32> = (1..=LAST).collect();
    assert_eq!(numbers, want, "every number once, in order");
    terminal.type_in("stty echo\r").await;
    assert_eq!(terminal.run("echo $$").await, before, "the same shell");
    house
        .until_status(&workshop.id, WorkshopStatus::Running)
        .await;
    house.close();
}

/// Reads what still comes until the socket breaks.
async fn drain(mut terminal: Terminal) -> (u64, Vec<u8>) {
    terminal.until_closed().await;
    (terminal.offset, terminal.seen)
}

#[tokio::test]
async fn a_dead_seat_is_started_again() {
    let house = house_or_skip!();
    let workshop = house.class("Phoenix", 2).await;
    let learner = house.join(&workshop.code, "a").await.unwrap();
    let mut terminal = learner.terminal("").await.unwrap();
    // Written to the disk: what a machine only remembers goes with it.
    terminal.run("echo kept > kept; sync").await;
    terminal.type_in("sudo kill -9 -1\r").await;
    // The seats' machines are killed from outside, as the kernel would for memory.
    let machines = machines(&house);
    assert_eq!(machines.len(), 2, "{machines:?}");
    for pid in machines {
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
    terminal.until_closed().await;
    let mut terminal = until("the seat to come back", patience(), async || {
        learner
            .terminal("")
            .await
            .map_err(|refused| format!("{refused:?}"))
    })
    .await;
    assert_eq!(
        terminal.run("cat kept").await,
        "kept",
        "a restart keeps files"
    );
    let seen = house
        .until_status(&workshop.id, WorkshopStatus::Running)
        .await;
    assert!(
        seen.seat_list.iter().all(|seat| seat.restarts == 1),
        "{seen:?}"
    );
    house.close();
}

/// Process ids of this house's machines: the guests that are the first processes
/// of their namespaces, or the VMMs.
fn machines(house: &House) -> Vec<i32> {
    house
        .programs()
        .into_iter()
        .filter(|(_, line)| line.contains("clarateach/guest") || line.contains("/firecracker "))
        .map(|(pid, _)| pid)
        .filter(|pid| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
            let status = status.unwrap_or_default();
            let mut names = status.lines().filter(|line| line.starts_with("NSpid:"));
            names.any(|line| line.ends_with("\t1"))
        })
        .collect()
}

#[tokio::test]
async fn a_class_that_is_stopped_comes_back_with_its_learners_and_files() {
    use clarateach_proto::workshop::{
        JoinWorkshopRequest, SeatState, StartWorkshopRequest, StopWorkshopRequest,
    };

    let house = house_or_skip!();
    let workshop = house.class("Pause", 1).await;
    let learner = house.join(&workshop.code, "a").await.unwrap();
    let mut terminal = learner.terminal("").await.unwrap();
    // Not synced by anybody: stopping has to.
    assert_eq!(terminal.run("echo mine > kept; cat kept").await, "mine");
    let mut workshops = house.workshops().await;

    let stop = StopWorkshopRequest {
        id: workshop.id.clone(),
        ..Default::default()
    };
    workshops.stop_workshop(stop.clone()).await.unwrap();
    let notice = terminal.control("notice").await;
    assert_eq!(notice["kind"], "draining", "{notice}");
    terminal.until_closed().await;
    let stopped = house
        .until_status(&workshop.id, WorkshopStatus::Stopped)
        .await;
    assert!(
        stopped.seat_list[0].taken,
        "the seat is still its learner's"
    );
    assert_eq!(stopped.seat_list[0].state(), SeatState::Stopped);
    let runs = house.programs();
    let ours: Vec<_> = runs
        .iter()
        .filter(|(_, what)| !what.contains("clarateach-server serve"))
        .collect();
    assert!(ours.is_empty(), "still there: {ours:?}");
    let again = JoinWorkshopRequest {
        code: workshop.code.clone(),
        reconnect_code: learner.joined.reconnect_code.clone(),
        ..Default::default()
    };
    let refused = house.join_with(again.clone()).await.unwrap_err();
    assert!(refused.message().contains("stopped"), "{refused:?}");
    workshops.stop_workshop(stop).await.unwrap();

    let start = StartWorkshopRequest {
        id: workshop.id.clone(),
        ..Default::default()
    };
    workshops.start_workshop(start.clone()).await.unwrap();
    house
        .until_status(&workshop.id, WorkshopStatus::Running)
        .await;
    workshops.start_workshop(start).await.unwrap();
    let back = house.join_with(again).await.unwrap();
    assert_eq!(back.seat(), learner.seat());
    let mut terminal = back.terminal("").await.unwrap();
    assert_eq!(terminal.run("cat kept").await, "mine");
    house.delete(&workshop.id).await;
    house.close();
}
