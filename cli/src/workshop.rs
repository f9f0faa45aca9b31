//! Workshops for whoever has an API token: list, create, look, change, delete.

mod collect;
mod cost;
mod env;
pub(crate) mod find;
mod pause;
pub(crate) mod show;
mod update;
mod watch;

use std::io::IsTerminal;

use clarateach_proto::workshop::{
    CreateWorkshopRequest, DeleteWorkshopRequest, EgressPolicy, GetWorkshopRequest,
    ListWorkshopsRequest, Resources, Runtime, UpdateWorkshopRequest, Workshop, egress_policy::Mode,
};

use pause::Pause;

use crate::{
    api::Workshops,
    asking::fresh_id,
    config::{
        CreateArgs, EgressArgs, EgressMode, Format, RuntimeName, Server, Until, WorkshopVerb,
    },
    failure::{Exit, Failure},
    interrupt, login,
    output::{plain, tell},
};

pub(crate) async fn run(at: &Server, verb: WorkshopVerb) -> Result<(), Failure> {
    let server = login::server(at)?;
    let mut workshops = server.workshops(&login::token(at, &server)?)?;
    match verb {
        WorkshopVerb::List { deleted, show } => {
            let all = list(&mut workshops, deleted).await?;
            show::many(&all, show)
        }
        WorkshopVerb::Create(args) => create(&mut workshops, args).await,
        WorkshopVerb::Get { workshop, show } => {
            let id = find::id(&mut workshops, &workshop).await?;
            let found = get(&mut workshops, &id).await?;
            let cost = match show.output {
                Format::Table | Format::Wide => cost::so_far(&mut workshops, &id).await,
                Format::Json | Format::Name => None,
            };
            show::one(&found, cost, show)
        }
        WorkshopVerb::Watch(args) => {
            let id = find::id(&mut workshops, &args.workshop).await?;
            interrupt::or_stop(watch::run(&mut workshops, &id, &args)).await
        }
        WorkshopVerb::Update(args) => update::run(&mut workshops, args).await,
        WorkshopVerb::Egress(args) => change_egress(&mut workshops, args).await,
        WorkshopVerb::Collect(args) => {
            interrupt::or_stop(Box::pin(collect::run(&server, &mut workshops, args))).await
        }
        WorkshopVerb::Cost(args) => cost::run(&mut workshops, args).await,
        WorkshopVerb::Estimate(args) => cost::estimate(&mut workshops, args).await,
        WorkshopVerb::Stop(args) => pause::run(&mut workshops, args, Pause::Stop).await,
        WorkshopVerb::Start(args) => pause::run(&mut workshops, args, Pause::Start).await,
        WorkshopVerb::Delete {
            workshops: names,
            yes,
        } => delete(&mut workshops, &names, yes).await,
    }
}

/// One workshop, whole.
pub(crate) async fn get(workshops: &mut Workshops, id: &str) -> Result<Workshop, Failure> {
    let request = GetWorkshopRequest { id: id.to_owned() };
    let found = workshops.get_workshop(request).await;
    let found = found.map_err(|status| Failure::status(format!("could not get {id}"), &status))?;
    Ok(found.into_inner())
}

/// Every page of them. Bounded by what the server holds.
pub(crate) async fn list(
    workshops: &mut Workshops,
    deleted: bool,
) -> Result<Vec<Workshop>, Failure> {
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
    let request = CreateWorkshopRequest {
        name: args.name,
        seats: args.seats,
        runtime: runtime(args.runtime).into(),
        ttl: args.ttl.map(span).transpose()?,
        env: args
            .env_file
            .as_deref()
            .map(env::read)
            .transpose()?
            .unwrap_or_default(),
        instructions: match &args.instructions {
            Some(file) => update::read(file)?,
            None => String::new(),
        },
        resources: Some(Resources {
            vcpus: args.limits.vcpus,
            memory_mib: args.limits.memory_mib,
            disk_mib: args.limits.disk_mib,
            network_mbits: args.limits.network_mbits,
            disk_mib_per_second: args.limits.disk_mib_per_second,
            processes: args.limits.processes,
        }),
        egress: Some(egress(args.egress, args.allow)),
        request_id: fresh_id(),
        ..Default::default()
    };
    let mut made = workshops
        .create_workshop(request)
        .await
        .map_err(|status| Failure::status("could not create the workshop", &status))?
        .into_inner();
    if args.wait {
        tell(&format!(
            "{} is being made; Ctrl-C leaves it as it is.",
            made.id
        ));
        let wait = watch::until(workshops, &made.id, Until::Running);
        made = interrupt::or_stop(wait).await?;
    }
    show::brief(&made, args.show)
}

fn runtime(name: RuntimeName) -> Runtime {
    match name {
        RuntimeName::Firecracker => Runtime::Firecracker,
        RuntimeName::Container => Runtime::Container,
    }
}

/// A time, as the schema has it.
fn span(time: std::time::Duration) -> Result<prost_types::Duration, Failure> {
    time.try_into()
        .map_err(|_| Failure::new(Exit::Usage, "that time is too long"))
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
    let id = find::id(workshops, &args.workshop).await?;
    let request = UpdateWorkshopRequest {
        id: id.clone(),
        egress: Some(egress(args.mode, args.allow)),
        request_id: fresh_id(),
        ..Default::default()
    };
    let changed = workshops.update_workshop(request).await;
    let changed =
        changed.map_err(|status| Failure::status(format!("could not change {id}"), &status))?;
    show::brief(changed.get_ref(), args.show)
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
    let lines = found.iter().map(|workshop| {
        format!(
            "{}  \"{}\", {} seats: machines and files of every learner",
            workshop.id,
            plain(&workshop.name),
            workshop.seats
        )
    });
    confirm(lines, "Delete for good?")
}

/// Whether a person says yes to these lines; somebody must be there to be asked.
pub(crate) fn confirm(
    lines: impl Iterator<Item = String>,
    question: &str,
) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(
            Failure::new(Exit::Usage, "nobody is there to be asked").hint("Say it with --yes.")
        );
    }
    for line in lines {
        tell(&line);
    }
    tell(&format!("{question} [y/N]"));
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .map_err(|error| Failure::fault("could not read the answer", error))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
