//! The example application: tablos, files, the object store.

mod object_stores;
mod orphan_crashes;
mod orphan_files;
mod orphan_requests;
mod orphan_restores;
mod uploads;
