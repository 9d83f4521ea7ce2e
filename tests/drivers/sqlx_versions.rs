//! `sqlx` 0.8 and 0.9.

/// The driver of one version, and its tests.
macro_rules! version {
    ($version:ident, $sqlx:ident) => {
        mod $version {
            use std::error::Error as StdError;

            use postrider::enqueue::enqueue_job;
            use postrider::postgres::Unprepared;
            use postrider::{Context, Enqueued, Error, NewJob, Schema, enqueue_many};
            use $sqlx::{Connection, Executor, PgConnection, query as sqlx_query};

            use crate::contract::{Driver, EFFECT, End, OUTPUT, tests};
            use crate::support::worker::Starts;

            struct Sqlx {
                connection: PgConnection,
                /// Whether it goes through a pooler that knows no prepared statements.
                is_pooled: bool,
            }

            impl Driver for Sqlx {
                async fn connect(url: &str) -> Self {
                    Self { connection: PgConnection::connect(url).await.unwrap(), is_pooled: false }
                }

                async fn connect_pooled(url: &str) -> Option<Self> {
                    Some(Self { is_pooled: true, ..Self::connect(url).await })
                }

                async fn transact(
                    &mut self,
                    jobs: &[NewJob],
                    schema: Option<&Schema>,
                    end: End,
                ) -> Result<Vec<Enqueued>, Error> {
                    let mut tx = self.connection.begin().await.unwrap();
                    sqlx_query(EFFECT).persistent(!self.is_pooled).execute(&mut *tx).await.unwrap();
                    let mut enqueued = Vec::new();
                    for job in jobs {
                        enqueued.push(match schema {
                            Some(schema) => enqueue_job(schema.on(&mut *tx), job.clone()).await?,
                            None if self.is_pooled => enqueue_job(Unprepared(&mut tx), job.clone()).await?,
                            None => enqueue_job(&mut *tx, job.clone()).await?,
                        });
                    }
                    enqueued.extend(match schema {
                        Some(schema) => enqueue_many(schema.on(&mut tx), jobs).await?,
                        None if self.is_pooled => enqueue_many(Unprepared(&mut tx), jobs).await?,
                        None => enqueue_many(&mut tx, jobs).await?,
                    });
                    match end {
                        End::Commit => tx.commit().await.unwrap(),
                        End::Rollback => tx.rollback().await.unwrap(),
                    }
                    Ok(enqueued)
                }

                async fn alone(&mut self, job: NewJob) -> Result<Enqueued, Error> {
                    enqueue_job(&mut self.connection, job).await
                }

                async fn complete(&mut self, cx: &Context<Starts>, end: End) -> Result<(), Error> {
                    let mut tx = self.connection.begin().await.unwrap();
                    tx.execute(EFFECT).await.unwrap();
                    cx.complete_in(&mut tx).output(&OUTPUT).await?;
                    match end {
                        End::Commit => tx.commit().await.unwrap(),
                        End::Rollback => tx.rollback().await.unwrap(),
                    }
                    Ok(())
                }

                fn is_own(error: &Error) -> bool {
                    let Error::Driver(error) = error else { return false };
                    error.source().is_some_and(<dyn StdError>::is::<$sqlx::Error>)
                }
            }

            tests!(Sqlx);

            /// A pool lends a connection whose transaction was dropped to the next caller, after it has rolled back.
            #[tokio::test(flavor = "multi_thread")]
            async fn a_pool_survives_dropped_transactions() {
                let db = crate::support::database::TestDatabase::new().await;
                let pool = $sqlx::postgres::PgPoolOptions::new().max_connections(1).connect(&db.url).await.unwrap();
                let job = || NewJob::new("task", postrider::Args::default()).unwrap();
                for _ in 0..20 {
                    let mut tx = pool.begin().await.unwrap();
                    assert!(enqueue_job(&mut *tx, job()).await.unwrap().is_inserted());
                    drop(tx);
                }
                assert!(enqueue_job(&pool, job()).await.unwrap().is_inserted());
                let mut connection = pool.acquire().await.unwrap();
                assert!(enqueue_job(&mut connection, job()).await.unwrap().is_inserted());
                assert_eq!(db.count("postrider.job").await, 2);
            }
        }
    };
}

version!(v0_8, sqlx_0_8);
version!(v0_9, sqlx_0_9);
