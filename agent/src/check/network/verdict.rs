//! What a row's flows are worth.

use std::{collections::BTreeSet, net::IpAddr};

use clarateach_domain::seat_net;
use ipnet::Ipv4Net;

use super::{
    Flow,
    probe::Ended,
    targets::{Row, Want, Way},
    walls::told,
};
use crate::check::line::Line;

/// By what was tried from seats.
pub(super) fn tried(row: &Row, flows: &[Flow], missed: u32) -> Line {
    if flows.is_empty() {
        return Line::is_not_here(row.name, "nothing to try", row.without);
    }
    let mut amiss: Vec<_> = flows
        .iter()
        .filter_map(|flow| wrong(row.want, flow))
        .collect();
    if missed > 0 && !matches!(row.want, Want::Answered) {
        amiss.push(format!(
            "{missed} packets left unseen, as the worker is busy: ask again"
        ));
    }
    let line = told(&amiss, &well(row.want, flows));
    Line::stands(row.name, line).otherwise(advice(row.want))
}

/// By what stands around seats that cannot be entered, or where there is none.
pub(super) fn by_walls(row: &Row, has_seats: bool, all_stand: bool) -> Line {
    const HOW: &str =
        "not tried: a MicroVM's network is its guest's own, whose word proves nothing";
    if !has_seats {
        return Line::is_not_here(row.name, "no seat lives here", "start a seat and ask again");
    }
    match row.want {
        _ if row.targets.is_empty() => Line::is_not_here(row.name, "nothing to try", row.without),
        Want::Answered => Line::is_not_here(row.name, HOW, "try it in the seat's terminal"),
        Want::Refused | Want::Silent | Want::Leaves => {
            let judged = if all_stand {
                Ok(format!("{HOW}; the rules, pins and neighbours above stand"))
            } else {
                Err(format!("{HOW}; and not all above stands"))
            };
            Line::stands(row.name, judged)
        }
    }
}

/// The agent's way to its seats, tried from its own place.
pub(super) fn inward(flows: &[Flow]) -> Line {
    const NAME: &str = "agent to seat";
    if flows.is_empty() {
        return Line::is_not_here(NAME, "no seat lives here", "start a seat and ask again");
    }
    let wrong = |flow| wrong(Want::Answered, flow);
    let amiss: Vec<_> = flows.iter().filter_map(wrong).collect();
    let line = told(&amiss, &well(Want::Answered, flows));
    Line::stands(NAME, line).otherwise(advice(Want::Answered))
}

/// What is wrong with a flow, for people.
fn wrong(want: Want, flow: &Flow) -> Option<String> {
    let tried = &flow.tried;
    let whose = |what: String| Some(format!("{} {what} (seat {})", tried.target, flow.seat));
    match want {
        Want::Answered => match &tried.ended {
            Ended::Open => None,
            Ended::Refused => whose("was refused".to_owned()),
            Ended::Silent => whose("was not answered".to_owned()),
            Ended::Otherwise(why) => whose(format!("ended: {why}")),
        },
        Want::Leaves => match &flow.escape {
            None => whose("did not leave".to_owned()),
            Some(escape) if of_seats(escape.from) => whose(format!(
                "left by {} as {}, which is a seat's own",
                escape.device, escape.from
            )),
            Some(_) => None,
        },
        Want::Refused | Want::Silent => {
            if let Some(escape) = &flow.escape {
                return whose(format!("left by {}", escape.device));
            }
            match tried.ended {
                Ended::Open => whose("is open".to_owned()),
                // The walls reset TCP in the target's name, and what they answer to
                // all else is not this.
                Ended::Refused if (want, tried.target.way) != (Want::Refused, Way::Tcp) => {
                    whose("got there and was refused".to_owned())
                }
                Ended::Refused | Ended::Silent | Ended::Otherwise(_) => None,
            }
        }
    }
}

fn well(want: Want, flows: &[Flow]) -> String {
    let seats: BTreeSet<_> = flows.iter().map(|flow| flow.seat).collect();
    let seats: Vec<_> = seats.iter().map(ToString::to_string).collect();
    let count = |is: fn(&Ended) -> bool| flows.iter().filter(|f| is(&f.tried.ended)).count();
    let from = format!("{} flows, seat {}", flows.len(), seats.join(", "));
    match want {
        Want::Answered => format!("answered: {from}"),
        Want::Leaves => format!("left masked by the worker's address: {from}"),
        Want::Refused | Want::Silent => format!(
            "none left: {from} ({} refused, {} silent, {} not sent)",
            count(|ended| *ended == Ended::Refused),
            count(|ended| *ended == Ended::Silent),
            count(|ended| matches!(ended, Ended::Otherwise(_)))
        ),
    }
}

fn advice(want: Want) -> &'static str {
    match want {
        Want::Refused | Want::Silent => {
            "stop teaching on this worker until this holds: the rows above may say what is missing"
        }
        Want::Leaves => "the rows above, or the uplink's link and route, may say why",
        Want::Answered => "is the agent running, and the seat's machine?",
    }
}

fn of_seats(address: IpAddr) -> bool {
    let seats = Ipv4Net::new_assert(seat_net::GATEWAY, seat_net::PREFIX);
    matches!(address, IpAddr::V4(address) if seats.contains(&address))
}

#[cfg(test)]
mod tests {
    use clarateach_domain::ids::SeatNo;

    use super::{
        super::{escapes::Escape, probe::Tried, targets::Target},
        *,
    };

    #[test]
    fn a_flow_is_judged_by_how_it_ended_and_by_what_left() {
        use Ended::{Open, Refused, Silent};
        let masked = Some("198.51.100.2");
        let unmasked = Some("192.168.100.11");
        for (want, way, ended, left, holds) in [
            (Want::Refused, Way::Tcp, Refused, None, true),
            (Want::Refused, Way::Tcp, Silent, None, true),
            (Want::Refused, Way::Tcp, Open, None, false),
            // Somebody there refused: it had got there.
            (Want::Refused, Way::Tcp, Refused, masked, false),
            (Want::Refused, Way::Udp, Refused, None, false),
            (Want::Refused, Way::Udp, Silent, masked, false),
            (Want::Silent, Way::Tcp, Silent, None, true),
            (Want::Silent, Way::Tcp, Refused, None, false),
            (
                Want::Silent,
                Way::Tcp,
                Ended::Otherwise("no route".into()),
                None,
                true,
            ),
            (Want::Leaves, Way::Tcp, Silent, masked, true),
            (Want::Leaves, Way::Tcp, Silent, unmasked, false),
            (Want::Leaves, Way::Tcp, Refused, None, false),
            (Want::Answered, Way::Ping, Open, None, true),
            (Want::Answered, Way::Ping, Silent, None, false),
            (
                Want::Answered,
                Way::Name,
                Ended::Otherwise("SERVFAIL".into()),
                None,
                false,
            ),
        ] {
            let flow = Flow {
                seat: SeatNo::try_from(1).unwrap(),
                tried: Tried {
                    target: Target {
                        way,
                        to: "203.0.113.7:80".parse().unwrap(),
                    },
                    port: 40000,
                    ended,
                },
                escape: left.map(|from| Escape {
                    device: "up0".to_owned(),
                    from: from.parse().unwrap(),
                }),
            };
            let said = wrong(want, &flow);
            assert_eq!(said.is_none(), holds, "{want:?} {said:?}");
        }
    }
}
