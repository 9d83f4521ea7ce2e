//! The queue itself: enqueueing, the schema, the plans of its statements, roles.

mod derive;
mod encodings;
mod enqueue;
mod functions;
mod idle_lock;
mod migrations;
mod model;
mod moves;
mod notification_queue;
mod notifications;
mod plans;
mod replication;
mod retention;
mod roles;
mod schemas;
