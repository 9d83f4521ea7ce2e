//! Adapters of other drivers. Each binds the parameters of a [`Statement`](super::Statement), runs it, and reads the
//! row that it returns. The statements are the same for all.

#[cfg(feature = "diesel-2")]
mod diesel_2;
#[cfg(feature = "diesel-async")]
mod diesel_async;
#[cfg(any(feature = "diesel-2", feature = "diesel-async"))]
mod diesel_rows;
#[cfg(feature = "sea-orm-2")]
mod sea_orm_2;
#[cfg(any(feature = "sqlx-0_8", feature = "sqlx-0_9"))]
mod sqlx;
