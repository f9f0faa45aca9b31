//! How one seat's MicroVM is held: the hardenings that its worker promises, each
//! read back from the live process, its cgroups, its jail and its API.
//!
//! Way: seat -> slot -> the VMM's process -> a line a hardening, by number of the
//! design's list, 1 to 13. FAILS is for what this software makes or lets happen;
//! what the host cannot do, or its operator decides, is NOT-HERE.

mod devices;
mod files;
mod ground;
mod limits;
mod open;
mod process;
mod vmm;

use std::path::Path;

use anyhow::Context as _;
use clarateach_domain::ids::SeatNo;

use self::vmm::Vmm;
use super::line::Line;
use crate::config::HostArgs;

/// All lines of this seat's MicroVM; an error if it has none. Blocks.
pub(super) fn lines(seat: SeatNo, run_dir: &Path, host: &HostArgs) -> anyhow::Result<Vec<Line>> {
    let vmm = Vmm::find(seat, run_dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("could not start the runtime")?;
    let told = runtime.block_on(devices::ask(&vmm));
    let mut lines = process::lines(&vmm, host, &told);
    lines.extend(files::lines(&vmm, host));
    lines.extend(limits::lines(&vmm));
    lines.extend(devices::lines(&vmm, &told));
    lines.extend(ground::lines(&vmm));
    lines.sort_by_key(|line| line.item);
    Ok(lines)
}
