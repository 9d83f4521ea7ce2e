//! Listing and controlling jobs.

mod library;
