//! The only place that runs the application's SQL: one function for each file of
//! `sql/queries/app/`.
