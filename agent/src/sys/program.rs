//! One program, started and waited for, so long and no longer.
//!
//! Way: `posix_spawn` in a process group of its own -> its end, or the deadline
//! -> the group is killed, the program reaped.

use std::{
    ffi::CStr,
    io,
    mem::MaybeUninit,
    os::fd::{AsRawFd as _, BorrowedFd, OwnedFd},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec},
    process::{Pid, PidfdFlags, Signal, WaitOptions, kill_process_group, pidfd_open},
};

/// How long a killed program may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// By itself, with exit code 0.
    Well,
    /// By itself, with another code or by a signal.
    Badly,
    /// Not in time: it was killed, and its process group with it.
    Late,
}

/// Starts a program and waits for its end, at most `within`. Its descriptors
/// 0, 1, 2 … are copies of `files`, in order, and it has no others. Blocks.
///
/// Spawned and not forked: a fork would copy the page tables of the whole agent
/// once more for every seat.
pub(crate) fn run(
    program: &CStr,
    arguments: &[&CStr],
    environment: &[&CStr],
    files: &[BorrowedFd<'_>],
    within: Duration,
) -> io::Result<Ending> {
    // Out of the way of the numbers they go to, so that no copy overwrites the
    // source of a later one.
    let sources = files
        .iter()
        .map(|file| rustix::io::fcntl_dupfd_cloexec(file, 64))
        .collect::<Result<Vec<OwnedFd>, _>>()?;
    let child = spawn(program, arguments, environment, &sources)?;
    drop(sources);
    let process = match pidfd_open(child, PidfdFlags::empty()) {
        Ok(process) => process,
        Err(cause) => {
            // Nobody could wait for it with a deadline: it must not go on unseen.
            kill_group(child)?;
            reap(child)?;
            return Err(cause.into());
        }
    };
    if ends(&process, within)? {
        let well = reap(child)?;
        return Ok(if well { Ending::Well } else { Ending::Badly });
    }
    kill_group(child)?;
    if !ends(&process, GONE_WITHIN)? {
        let stuck = "the program was late, was killed, and does not end";
        return Err(io::Error::new(io::ErrorKind::TimedOut, stuck));
    }
    reap(child)?;
    Ok(Ending::Late)
}

fn spawn(
    program: &CStr,
    arguments: &[&CStr],
    environment: &[&CStr],
    sources: &[OwnedFd],
) -> io::Result<Pid> {
    let pointers = |texts: &[&CStr]| -> Vec<*mut libc::c_char> {
        let texts = texts.iter().map(|text| text.as_ptr().cast_mut());
        texts.chain([std::ptr::null_mut()]).collect()
    };
    let (arguments, environment) = (pointers(arguments), pointers(environment));
    let mut actions = MaybeUninit::<libc::posix_spawn_file_actions_t>::uninit();
    let mut attributes = MaybeUninit::<libc::posix_spawnattr_t>::uninit();
    let flags = libc::c_short::try_from(libc::POSIX_SPAWN_SETPGROUP).map_err(io::Error::other)?;
    let mut pid = 0;
    // SAFETY: `actions` and `attributes` are initialised by the first two calls,
    // which cannot fail on Linux, and destroyed by the last two. All texts are C
    // strings that outlive the calls, both lists end with a null, and
    // posix_spawn writes to none of them.
    let failure = unsafe {
        let mut failure = libc::posix_spawn_file_actions_init(actions.as_mut_ptr());
        libc::posix_spawnattr_init(attributes.as_mut_ptr());
        // A group of its own, whose number is its own.
        libc::posix_spawnattr_setpgroup(attributes.as_mut_ptr(), 0);
        libc::posix_spawnattr_setflags(attributes.as_mut_ptr(), flags);
        for (to, from) in (0..).zip(sources) {
            if failure == 0 {
                failure = libc::posix_spawn_file_actions_adddup2(
                    actions.as_mut_ptr(),
                    from.as_raw_fd(),
                    to,
                );
            }
        }
        if failure == 0 {
            failure = libc::posix_spawn(
                &raw mut pid,
                program.as_ptr(),
                actions.as_ptr(),
                attributes.as_ptr(),
                arguments.as_ptr(),
                environment.as_ptr(),
            );
        }
        libc::posix_spawnattr_destroy(attributes.as_mut_ptr());
        libc::posix_spawn_file_actions_destroy(actions.as_mut_ptr());
        failure
    };
    if failure != 0 {
        return Err(io::Error::from_raw_os_error(failure));
    }
    Pid::from_raw(pid).ok_or_else(|| io::Error::other("the child has no pid"))
}

/// Whether the process ends in time.
fn ends(process: &OwnedFd, within: Duration) -> io::Result<bool> {
    let mut watched = [PollFd::new(process, PollFlags::IN)];
    let limit = Timespec::try_from(within).map_err(io::Error::other)?;
    let ended = rustix::io::retry_on_intr(|| rustix::event::poll(&mut watched, Some(&limit)))?;
    Ok(ended > 0)
}

/// The program and the helpers that it has not sent away. It is not reaped yet,
/// so its number is nobody else's.
fn kill_group(leader: Pid) -> io::Result<()> {
    match kill_process_group(leader, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(cause) => Err(cause.into()),
    }
}

/// True when it ended with exit code 0.
fn reap(child: Pid) -> io::Result<bool> {
    let ended =
        rustix::io::retry_on_intr(|| rustix::process::waitpid(Some(child), WaitOptions::empty()))?;
    Ok(ended.is_some_and(|(_, status)| status.exit_status() == Some(0)))
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        io::Read as _,
        os::fd::AsFd as _,
    };

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn a_program_gets_its_files_by_number_and_says_how_it_ended() {
        let dir = tempfile::tempdir().unwrap();
        let out = File::create(dir.path().join("out")).unwrap();
        let null = File::open("/dev/null").unwrap();
        let files = [null.as_fd(), out.as_fd(), null.as_fd(), out.as_fd()];
        for (script, ending) in [
            (c"echo one; echo three >&3", Ending::Well),
            (c"exit 3", Ending::Badly),
            (c"kill -9 $$", Ending::Badly),
        ] {
            let arguments = [c"sh", c"-c", script];
            let ended = run(c"/bin/sh", &arguments, &[], &files, LONG).unwrap();
            assert_eq!(ended, ending, "{script:?}");
        }
        let said = fs::read_to_string(dir.path().join("out")).unwrap();
        assert_eq!(said, "one\nthree\n");
        assert!(run(c"/no/such", &[c"x"], &[], &files, LONG).is_err());
    }

    #[test]
    fn a_program_that_hangs_is_killed_with_its_helpers() {
        let (mut read, write) = std::io::pipe().unwrap();
        let null = File::open("/dev/null").unwrap();
        let script = c"(echo helper; exec sleep 1000) & echo here; wait";
        let arguments = [c"sh", c"-c", script];
        let files = [null.as_fd(), write.as_fd()];
        let soon = Duration::from_millis(300);
        let path = [c"PATH=/usr/bin:/bin"];
        let ended = run(c"/bin/sh", &arguments, &path, &files, soon).unwrap();
        assert_eq!(ended, Ending::Late);
        drop(write);
        // The pipe ends when nobody holds its other end: the helper is gone too.
        let mut said = String::new();
        read.read_to_string(&mut said).unwrap();
        assert!(said.len() <= "helper\nhere\n".len(), "{said}");
    }
}
