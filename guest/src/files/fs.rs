//! The workspace as dav-server's file system.
//!
//! All paths go through cap-std, which lets the kernel resolve them beneath
//! the folder: neither `..` nor a link leads out, whatever is renamed
//! meanwhile.

use std::{future::Future, io, pin::Pin, sync::Arc};

use cap_std::fs::Dir;
use dav_server::{
    davpath::DavPath,
    fs::{
        DavDirEntry, DavFile, DavFileSystem, DavMetaData, DavProp, FsError, FsFuture, FsResult,
        FsStream, OpenOptions, ReadDirMeta,
    },
};
use http::StatusCode;

use super::{
    file::{self, OpenFile, Plan},
    meta::{Entry, Meta},
    props,
    workspace::{dav_error, is_upload, relative},
};

/// The workspace, open.
#[derive(Clone)]
pub(crate) struct WorkspaceFs {
    dir: Arc<Dir>,
}

impl WorkspaceFs {
    /// Of one request.
    pub(crate) fn new(dir: Arc<Dir>) -> Self {
        Self { dir }
    }

    fn open_now(&self, path: &DavPath, options: &OpenOptions) -> io::Result<OpenFile> {
        let path = relative(path);
        if !options.write && !options.append {
            return OpenFile::read(&self.dir, &path);
        }
        if !options.truncate {
            return OpenFile::in_place(
                &self.dir,
                &path,
                options.append,
                options.create,
                options.create_new,
            );
        }
        let plan = Plan {
            size: options.size,
            new: options.create_new,
            existing: !options.create && !options.create_new,
        };
        OpenFile::replace(&self.dir, &path, plan)
    }

    fn entries(&self, path: &DavPath, links: bool) -> io::Result<Vec<Entry>> {
        let dir = self.dir.open_dir(relative(path))?;
        let mut entries = vec![];
        for entry in dir.entries()? {
            let entry = entry?;
            let name = entry.file_name();
            if is_upload(&name) {
                continue;
            }
            let meta = if links {
                entry.metadata() // of the link itself
            } else {
                dir.metadata(&name)
            };
            // Gone meanwhile, or a link that leads out: not shown.
            if let Ok(meta) = meta {
                entries.push(Entry {
                    name,
                    meta: Meta(meta),
                });
            }
        }
        Ok(entries)
    }
}

/// Runs what answers at once.
fn now<'a, T: Send + 'a>(outcome: io::Result<T>) -> FsFuture<'a, T> {
    Box::pin(std::future::ready(
        outcome.map_err(|cause| dav_error(&cause)),
    ))
}

fn boxed(meta: cap_std::fs::Metadata) -> Box<dyn DavMetaData> {
    Box::new(Meta(meta))
}

impl DavFileSystem for WorkspaceFs {
    fn open<'a>(
        &'a self,
        path: &'a DavPath,
        options: OpenOptions,
    ) -> FsFuture<'a, Box<dyn DavFile>> {
        now(self
            .open_now(path, &options)
            .map(|file| Box::new(file) as Box<dyn DavFile>))
    }

    fn read_dir<'a>(
        &'a self,
        path: &'a DavPath,
        meta: ReadDirMeta,
    ) -> FsFuture<'a, FsStream<Box<dyn DavDirEntry>>> {
        let links = meta != ReadDirMeta::Data;
        now(self.entries(path, links).map(|entries| {
            let entries = entries
                .into_iter()
                .map(|entry| Ok(Box::new(entry) as Box<dyn DavDirEntry>));
            Box::pin(futures_util::stream::iter(entries)) as FsStream<Box<dyn DavDirEntry>>
        }))
    }

    fn metadata<'a>(&'a self, path: &'a DavPath) -> FsFuture<'a, Box<dyn DavMetaData>> {
        now(self.dir.metadata(relative(path)).map(boxed))
    }

    fn symlink_metadata<'a>(&'a self, path: &'a DavPath) -> FsFuture<'a, Box<dyn DavMetaData>> {
        now(self.dir.symlink_metadata(relative(path)).map(boxed))
    }

    fn create_dir<'a>(&'a self, path: &'a DavPath) -> FsFuture<'a, ()> {
        now(self.dir.create_dir(relative(path)))
    }

    fn remove_dir<'a>(&'a self, path: &'a DavPath) -> FsFuture<'a, ()> {
        now(self.dir.remove_dir(relative(path)))
    }

    fn remove_file<'a>(&'a self, path: &'a DavPath) -> FsFuture<'a, ()> {
        now(self.dir.remove_file(relative(path)))
    }

    fn rename<'a>(&'a self, from: &'a DavPath, to: &'a DavPath) -> FsFuture<'a, ()> {
        now(self.dir.rename(relative(from), &self.dir, relative(to)))
    }

    fn copy<'a>(&'a self, from: &'a DavPath, to: &'a DavPath) -> FsFuture<'a, ()> {
        let (dir, from, to) = (self.dir.clone(), relative(from), relative(to));
        Box::pin(async move {
            // A large one takes a while: others go on meanwhile. The pool's
            // threads are this thread's children and as little root as it.
            tokio::task::spawn_blocking(move || {
                let mut source = file::open(&dir, &from)?;
                let size = source.metadata()?.len();
                let plan = Plan {
                    size: Some(size),
                    ..Plan::default()
                };
                OpenFile::replace(&dir, &to, plan)?.fill_from(&mut source)
            })
            .await
            .map_err(|_| FsError::GeneralFailure)?
            .map_err(|cause| dav_error(&cause))
        })
    }

    fn have_props<'a>(
        &'a self,
        _path: &'a DavPath,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(std::future::ready(true))
    }

    fn patch_props<'a>(
        &'a self,
        path: &'a DavPath,
        patch: Vec<(bool, DavProp)>,
    ) -> FsFuture<'a, Vec<(StatusCode, DavProp)>> {
        self.with_file(path, |file| props::patch(file, patch))
    }

    fn get_props<'a>(&'a self, path: &'a DavPath, content: bool) -> FsFuture<'a, Vec<DavProp>> {
        self.with_file(path, |file| props::all(file, content))
    }

    fn get_prop<'a>(&'a self, path: &'a DavPath, prop: DavProp) -> FsFuture<'a, Vec<u8>> {
        self.with_file(path, |file| props::one(file, &prop))
    }

    fn get_quota(&'_ self) -> FsFuture<'_, (u64, Option<u64>)> {
        now(rustix::fs::fstatvfs(&*self.dir)
            .map(|stat| {
                let used = (stat.f_blocks - stat.f_bfree) * stat.f_frsize;
                let free = stat.f_bavail * stat.f_frsize;
                (used, Some(used + free))
            })
            .map_err(Into::into))
    }
}

impl WorkspaceFs {
    fn with_file<'a, T: Send + 'a>(
        &self,
        path: &DavPath,
        act: impl FnOnce(&std::fs::File) -> FsResult<T>,
    ) -> FsFuture<'a, T> {
        let outcome = file::open(&self.dir, &relative(path))
            .map_err(|cause| dav_error(&cause))
            .and_then(|file| act(&file));
        Box::pin(std::future::ready(outcome))
    }
}
