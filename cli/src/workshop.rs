//! Workshops for whoever has an API token: list, create, change, delete.

mod find;
mod show;

use std::{fs, io::IsTerminal};

use clarateach_proto::workshop::{
    CreateWorkshopRequest, DeleteWorkshopRequest, EgressPolicy, ListWorkshopsRequest, Resources,
    Runtime, UpdateWorkshopRequest, WatchWorkshopRequest, Workshop, WorkshopStatus,
    egress_policy::Mode,
};
use rand::Rng;

use crate::{
    api::{ControlPlane, Workshops},
    config::{CreateArgs, EgressArgs, EgressMode, RuntimeName, Server, WorkshopVerb},
    failure::{Exit, Failure},
    output::{plain, tell},
};

pub(crate) async fn run(at: &Server, verb: WorkshopVerb) -> Result<(), Failure> {
    let server = ControlPlane::parse(&at.url, at.ca.clone())?;
    let mut workshops = server.workshops(&api_token(at)?)?;
    match verb {
        WorkshopVerb::List {
            deleted,
            output,
            no_headers,
        } => {
            let all = list(&mut workshops, deleted).await?;
            show::many(&all, output, !no_headers)
        }
        WorkshopVerb::Create(args) => create(&mut workshops, args).await,
        WorkshopVerb::Egress(args) => change_egress(&mut workshops, args).await,
        WorkshopVerb::Delete {
            workshops: names,
            yes,
        } => delete(&mut workshops, &names, yes).await,
    }
}

/// Never from an argument: those are seen by everybody on the machine.
fn api_token(at: &Server) -> Result<String, Failure> {
    let Some(file) = &at.token_file else {
        return Err(Failure::new(Exit::Refused, "this needs an API token").hint(
            "Name its file with --token-file or CLARATEACH_TOKEN_FILE; the server writes \
             the admin's to DATA_DIR/admin.token.",
        ));
    };
    fs::read_to_string(file)
        .map(|text| text.trim().to_owned())
        .map_err(|error| {
            Failure::new(Exit::Refused, format!("could not read {}", file.display())).because(error)
        })
}

/// Every page of them. Bounded by what the server holds.
async fn list(workshops: &mut Workshops, deleted: bool) -> Result<Vec<Workshop>, Failure> {
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListWorkshopsRequest {
            page_size: 500,
            page_token: page_token.clone(),
            show_deleted: deleted,
        };
        let page = workshops
            .list_workshops(request)
            .await
            .map_err(|status| Failure::status("could not list the workshops", &status))?
            .into_inner();
        all.extend(page.workshops);
        // A server that repeats itself would keep us for ever.
        if page.next_page_token.is_empty() || page.next_page_token == page_token {
            return Ok(all);
        }
        page_token = page.next_page_token;
    }
}

async fn create(workshops: &mut Workshops, args: CreateArgs) -> Result<(), Failure> {
    let runtime = match args.runtime {
        RuntimeName::Firecracker => Runtime::Firecracker,
        RuntimeName::Container => Runtime::Container,
    };
    let mut random = [0_u8; 16];
    rand::rng().fill(&mut random);
    let request = CreateWorkshopRequest {
        name: args.name,
        seats: args.seats,
        runtime: runtime.into(),
        ttl: args
            .ttl
            .map(|ttl| {
                ttl.try_into()
                    .map_err(|error| Failure::fault("that time is too long", error))
            })
            .transpose()?,
        resources: Some(Resources {
            network_mbits: args.limits.network_mbits,
            disk_mib_per_second: args.limits.disk_mib_per_second,
            processes: args.limits.processes,
            ..Default::default()
        }),
        egress: Some(egress(args.egress, args.allow)),
        request_id: format!("{:032x}", u128::from_be_bytes(random)),
        ..Default::default()
    };
    let mut made = workshops
        .create_workshop(request)
        .await
        .map_err(|status| Failure::status("could not create the workshop", &status))?
        .into_inner();
    if args.wait {
        made = until_running(workshops, made).await?;
    }
    show::one(&made, args.output)
}

fn egress(mode: EgressMode, allow: Vec<String>) -> EgressPolicy {
    let mode = match mode {
        EgressMode::Internet => Mode::Internet,
        EgressMode::None => Mode::None,
        EgressMode::AllowList => Mode::AllowList,
    };
    EgressPolicy {
        mode: mode.into(),
        allow,
    }
}

async fn change_egress(workshops: &mut Workshops, args: EgressArgs) -> Result<(), Failure> {
    let all = list(workshops, false).await?;
    let id = &find::one(&all, &args.workshop)?.id;
    let request = UpdateWorkshopRequest {
        id: id.clone(),
        egress: Some(egress(args.mode, args.allow)),
        ..Default::default()
    };
    let changed = workshops.update_workshop(request).await;
    let changed =
        changed.map_err(|status| Failure::status(format!("could not change {id}"), &status))?;
    show::one(changed.get_ref(), args.output)
}

/// Says each step on stderr; Ctrl-C leaves the workshop as it is.
async fn until_running(workshops: &mut Workshops, mut made: Workshop) -> Result<Workshop, Failure> {
    let failed = |status| Failure::status("could not watch the workshop", &status);
    let request = WatchWorkshopRequest {
        id: made.id.clone(),
        since_revision: 0,
    };
    let mut changes = workshops
        .watch_workshop(request)
        .await
        .map_err(failed)?
        .into_inner();
    let mut told = String::new();
    while let Some(change) = changes.message().await.map_err(failed)? {
        let Some(workshop) = change.workshop else {
            continue;
        };
        made = workshop;
        match made.status() {
            WorkshopStatus::Running => return Ok(made),
            WorkshopStatus::Failed | WorkshopStatus::Deleting | WorkshopStatus::Deleted => {
                let act = format!("{} is {}", made.id, show::status(&made));
                return Err(Failure::new(Exit::WorkshopFailed, act).because(plain(&made.reason)));
            }
            _ => {}
        }
        let line = format!(
            "{}: {} {}",
            made.id,
            show::status(&made),
            plain(&made.reason)
        );
        if line != told {
            tell(&line);
            told = line;
        }
    }
    Err(Failure::new(Exit::Unreachable, "the server ended the wait")
        .hint(format!("{} lives on: clarateach workshop list", made.id)))
}

async fn delete(workshops: &mut Workshops, names: &[String], yes: bool) -> Result<(), Failure> {
    let all = list(workshops, false).await?;
    let mut found = Vec::new();
    for name in names {
        found.push(find::one(&all, name)?);
    }
    if !yes && !agreed(&found)? {
        return Err(Failure::new(Exit::Fault, "nothing was deleted"));
    }
    for workshop in found {
        let request = DeleteWorkshopRequest {
            id: workshop.id.clone(),
            request_id: String::new(),
        };
        let answer = workshops.delete_workshop(request).await.map_err(|status| {
            Failure::status(format!("could not delete {}", workshop.id), &status)
        })?;
        tell(&format!(
            "{} is {}",
            workshop.id,
            show::status(answer.get_ref())
        ));
    }
    Ok(())
}

fn agreed(found: &[&Workshop]) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(
            Failure::new(Exit::Usage, "nobody is there to be asked").hint("Say it with --yes.")
        );
    }
    for workshop in found {
        tell(&format!(
            "{}  \"{}\", {} seats: machines and files of every learner",
            workshop.id,
            plain(&workshop.name),
            workshop.seats
        ));
    }
    tell("Delete for good? [y/N]");
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .map_err(|error| Failure::fault("could not read the answer", error))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
