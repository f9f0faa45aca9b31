//! Which workshop a person means: an id, the beginning of one, or a name.

use clarateach_proto::workshop::Workshop;

use crate::{
    api::Workshops,
    failure::{Exit, Failure},
};

/// The id of the one that is meant. A whole id is taken as it is: it may also be
/// of a workshop that lists hide.
pub(crate) async fn id(workshops: &mut Workshops, text: &str) -> Result<String, Failure> {
    if is_id(text) {
        return Ok(text.to_owned());
    }
    let all = super::list(workshops, false).await?;
    Ok(one(&all, text)?.id.clone())
}

/// `ws-` and ten of [a-z0-9].
fn is_id(text: &str) -> bool {
    text.strip_prefix("ws-").is_some_and(|rest| {
        rest.len() == 10
            && rest
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    })
}

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

    #[test]
    fn only_a_whole_id_is_taken_unseen() {
        for (text, whole) in [
            ("ws-abc0000001", true),
            ("ws-abc000000", false),
            ("ws-ABC0000001", false),
            ("ws-abc00000012", false),
            ("Git", false),
            ("", false),
        ] {
            assert_eq!(is_id(text), whole, "{text:?}");
        }
    }
}
