//! Which workshop a person means: an id, the beginning of one, or a name. Pure.

use clarateach_proto::workshop::Workshop;

use crate::failure::{Exit, Failure};

/// The one that is meant. An id wins over a name, a whole one over a beginning.
pub(super) fn one<'w>(all: &'w [Workshop], text: &str) -> Result<&'w Workshop, Failure> {
    let id = |w: &&Workshop| w.id == text;
    let name = |w: &&Workshop| w.name == text;
    let beginning = |w: &&Workshop| {
        !text.is_empty() && (w.id.starts_with(text) || w.id.starts_with(&format!("ws-{text}")))
    };
    let ways: [&dyn Fn(&&Workshop) -> bool; 3] = [&id, &name, &beginning];
    for way in ways {
        let found: Vec<&Workshop> = all.iter().filter(way).collect();
        match found.as_slice() {
            [] => {}
            [one] => return Ok(one),
            several => {
                let ids: Vec<&str> = several.iter().map(|w| w.id.as_str()).collect();
                return Err(Failure::new(
                    Exit::Conflict,
                    format!("{text:?} could be {}", ids.join(" or ")),
                ));
            }
        }
    }
    Err(
        Failure::new(Exit::NotFound, format!("there is no workshop {text:?}"))
            .hint("See clarateach workshop list."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workshop_is_found_by_what_is_said_of_it() {
        let all: Vec<Workshop> = [
            ("ws-abc0000001", "Git"),
            ("ws-abd0000002", "Rust"),
            ("ws-xyz0000003", "Rust"),
        ]
        .into_iter()
        .map(|(id, name)| Workshop {
            id: id.into(),
            name: name.into(),
            ..Default::default()
        })
        .collect();
        for (text, found) in [
            ("ws-abc0000001", Some("ws-abc0000001")),
            ("Git", Some("ws-abc0000001")),
            ("ws-abc", Some("ws-abc0000001")),
            ("x", Some("ws-xyz0000003")),
            ("ab", None),
            ("Rust", None),
            ("nothing", None),
            ("", None),
        ] {
            assert_eq!(
                one(&all, text).ok().map(|w| w.id.as_str()),
                found,
                "{text:?}"
            );
        }
    }
}
