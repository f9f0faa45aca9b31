//! The attach table of `decisions.md` §4, case by case, and what slow viewers
//! get.

use serde_json::Value;

use super::*;
use crate::terminal::{
    history::LIMIT,
    wire::{Mode, Viewer},
};

const NOW: &str = "instance-now";

fn attach(query: &str) -> Attach {
    Attach::parse(query).unwrap()
}

fn joined(state: &mut State, key: Key) {
    let viewer = Viewer {
        id: "learner".into(),
        mode: Mode::Drive,
    };
    state.join(key, &viewer, None);
}

/// All frames there are, text as its type, data as itself.
fn drain(feed: &mut Feed, state: &mut State) -> Vec<(String, Value, Vec<u8>)> {
    let mut frames = vec![];
    for _ in 0..1_000 {
        match feed.next(state) {
            Some(Out::Text(text)) => {
                let value: Value = serde_json::from_str(&text).unwrap();
                frames.push((value["type"].as_str().unwrap().to_owned(), value, vec![]));
            }
            Some(Out::Data(data)) => frames.push(("data".into(), Value::Null, data.to_vec())),
            Some(Out::Over) => {
                frames.push(("over".into(), Value::Null, vec![]));
                return frames;
            }
            None => return frames,
        }
    }
    panic!("a feed that never ends");
}

fn kinds(frames: &[(String, Value, Vec<u8>)]) -> Vec<&str> {
    frames.iter().map(|(kind, ..)| kind.as_str()).collect()
}

#[test]
fn an_attach_continues_repaints_or_starts_again() {
    type Case<'a> = (&'a str, &'a [u8], u64, &'a [&'a str], Option<u64>);
    let written = LIMIT as u64 + 100;
    let full: Vec<u8> = (0..written)
        .map(|n| b'a' + u8::try_from(n % 26).unwrap())
        .collect();
    // query; output so far -> cursor, kinds of frames, bytes lost
    let cases: [Case<'_>; 8] = [
        (
            "",
            b"hello",
            5,
            &["attached", "repaint", "data", "live"],
            Some(0),
        ),
        (
            "offset=0&instance=instance-now",
            b"hello",
            0,
            &["attached", "data", "live"],
            None,
        ),
        ("offset=3", b"hello", 3, &["attached", "data", "live"], None),
        ("offset=5", b"hello", 5, &["attached", "live"], None),
        (
            "offset=9",
            b"hello",
            5,
            &["attached", "repaint", "data", "live"],
            Some(0),
        ),
        (
            "offset=3&instance=old",
            b"hello",
            0,
            &["attached", "restarted", "data", "live"],
            None,
        ),
        (
            "offset=50",
            &full,
            written,
            &["attached", "repaint", "data", "live"],
            Some(written - 50),
        ),
        (
            "instance=old",
            &full,
            written,
            &["attached", "restarted", "repaint", "data", "live"],
            Some(written),
        ),
    ];
    for (query, output, cursor, wanted, lost) in cases {
        let mut state = State::new(Size::DEFAULT);
        state.took(output);
        joined(&mut state, 1);
        let mut feed = Feed::attach(&mut state, 1, true, &attach(query), NOW);
        let frames = drain(&mut feed, &mut state);
        assert_eq!(kinds(&frames), wanted, "{query}");
        let first = &frames[0].1;
        assert_eq!(first["offset"], cursor, "{query}");
        assert_eq!(first["instance"], NOW);
        assert_eq!(first["viewers"], 1);
        let repaint = frames.iter().find(|(kind, ..)| kind == "repaint");
        assert_eq!(
            repaint.map(|(_, value, _)| value["lost"].as_u64().unwrap()),
            lost,
            "{query}"
        );
        if let Some((_, value, _)) = repaint {
            let drawn: usize = frames.iter().map(|(.., data)| data.len()).sum();
            assert_eq!(
                value["bytes"], drawn,
                "{query}: the painting has the length it says"
            );
        } else {
            let replayed: Vec<u8> = frames.iter().flat_map(|(.., data)| data.clone()).collect();
            let from = usize::try_from(cursor).unwrap();
            assert!(replayed == output[from..], "{query}");
        }
    }
}

#[test]
fn every_byte_comes_once_and_in_order_while_output_goes_on() {
    let mut state = State::new(Size::DEFAULT);
    state.took(b"before ");
    joined(&mut state, 1);
    let mut feed = Feed::attach(&mut state, 1, true, &attach("offset=0"), NOW);
    let mut got = vec![];
    let mut wanted = b"before ".to_vec();
    for round in 0..500 {
        let piece = format!("{round} ").repeat(1 + round % 7);
        state.took(piece.as_bytes());
        wanted.extend(piece.bytes());
        for (.., data) in drain(&mut feed, &mut state) {
            got.extend(data);
        }
    }
    assert!(got == wanted);
}

#[test]
fn who_is_a_window_behind_is_drawn_the_present_and_told_what_was_lost() {
    let mut state = State::new(Size::DEFAULT);
    joined(&mut state, 1);
    let mut feed = Feed::attach(&mut state, 1, true, &attach("offset=0"), NOW);
    drain(&mut feed, &mut state);
    let much = vec![b'x'; LIMIT + 1];
    state.took(&much);
    let frames = drain(&mut feed, &mut state);
    assert_eq!(kinds(&frames)[..2], ["repaint", "data"]);
    assert_eq!(frames[0].1["lost"], LIMIT as u64 + 1);
    assert_eq!(frames[0].1["offset"], LIMIT as u64 + 1);
    state.took(b"next");
    assert_eq!(drain(&mut feed, &mut state)[0].2, b"next");
}

#[test]
fn an_end_is_told_after_the_last_byte() {
    let mut state = State::new(Size::DEFAULT);
    joined(&mut state, 1);
    let mut feed = Feed::attach(&mut state, 1, true, &attach("offset=0"), NOW);
    state.took(b"logout\r\n");
    state.ended = Some(3);
    let frames = drain(&mut feed, &mut state);
    assert_eq!(kinds(&frames), ["attached", "live", "data", "exit", "over"]);
    assert_eq!(frames[3].1["code"], 3);
}

#[test]
fn who_agreed_on_no_subprotocol_gets_data_and_nothing_else() {
    let mut state = State::new(Size::DEFAULT);
    state.took(b"hello");
    joined(&mut state, 1);
    let mut feed = Feed::attach(&mut state, 1, false, &attach(""), NOW);
    joined(&mut state, 2);
    state.ended = Some(0);
    let frames = drain(&mut feed, &mut state);
    assert_eq!(kinds(&frames), ["data", "over"]);
}

#[test]
fn news_reaches_a_viewer_and_unread_answers_stay_few() {
    let mut state = State::new(Size::DEFAULT);
    joined(&mut state, 1);
    let mut feed = Feed::attach(&mut state, 1, true, &attach("offset=0"), NOW);
    drain(&mut feed, &mut state);
    joined(&mut state, 2);
    let learner = Viewer {
        id: "learner".into(),
        mode: Mode::Drive,
    };
    let now = std::time::Instant::now();
    for _ in 0..1_000 {
        state.said(1, &learner, r#"{"type":"ping"}"#, now);
    }
    state.said(
        1,
        &learner,
        r#"{"type":"resize","cols":100,"rows":30}"#,
        now,
    );
    state.notify(&wire::Notice::new("help", "the teacher comes", 0).unwrap());
    let frames = drain(&mut feed, &mut state);
    let kinds = kinds(&frames);
    assert_eq!(kinds[..2], ["resized", "viewers"]);
    assert_eq!(kinds.iter().filter(|kind| **kind == "pong").count(), 32);
    assert_eq!(kinds.last(), Some(&"notice"));
}
