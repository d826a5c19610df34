//! deadpool with a place for each thread, its statements from its cache: its defaults, which ask nothing.

use deadpool_postgres::{Config, ManagerConfig, Pool, PoolConfig, RecyclingMethod, Runtime};
use tokio_postgres::NoTls;
use url::Url;

use super::super::{Contestant, LOOK_UP, READ, WRITE, Worker, text};
use super::wait;
use crate::place::Place;
use crate::rounds::Outcome;

pub(in super::super) fn make(place: &Place, threads: usize) -> Option<Box<dyn Contestant>> {
    if !place.database.is_postgres() {
        return None;
    }
    let url: Url = place.url.parse().expect("a URL");
    let plain = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let mut config = Config::new();
    config.host = url.host_str().map(str::to_owned);
    config.port = url.port();
    config.user = Some(plain(url.username()));
    config.password = url.password().map(plain);
    config.dbname = Some(url.path().trim_start_matches('/').to_owned());
    config.manager = Some(ManagerConfig { recycling_method: RecyclingMethod::Fast });
    config.pool = Some(PoolConfig::new(threads));
    let pool = config.create_pool(Some(Runtime::Tokio1), NoTls).expect("a pool");
    Some(Box::new(Pooled { pool, sql: [LOOK_UP, READ, WRITE].map(|sql| place.database.sql(sql)) }))
}

struct Pooled {
    pool: Pool,
    sql: [String; 3],
}

impl Contestant for Pooled {
    fn name(&self) -> &'static str {
        "deadpool"
    }

    fn on_thread(&self) -> Box<dyn Worker + '_> {
        Box::new(Requests(self))
    }
}

struct Requests<'a>(&'a Pooled);

impl Worker for Requests<'_> {
    fn look_ups(&mut self, ids: &[u32]) -> Outcome {
        wait(async {
            let client = self.0.pool.get().await.map_err(text)?;
            for id in ids {
                let statement = client.prepare_cached(&self.0.sql[0]).await.map_err(text)?;
                let key = i32::try_from(*id).expect("a small number");
                let row = client.query_one(&statement, &[&key]).await.map_err(text)?;
                std::hint::black_box(row.try_get::<_, String>(0).map_err(text)?);
            }
            Ok(())
        })
    }

    fn read_and_write(&mut self, id: u32) -> Outcome {
        let key = i32::try_from(id).expect("a small number");
        wait(async {
            let mut client = self.0.pool.get().await.map_err(text)?;
            let transaction = client.transaction().await.map_err(text)?;
            let statement = transaction.prepare_cached(&self.0.sql[1]).await.map_err(text)?;
            let row = transaction.query_one(&statement, &[&key]).await.map_err(text)?;
            let n: i32 = row.try_get(0).map_err(text)?;
            let statement = transaction.prepare_cached(&self.0.sql[2]).await.map_err(text)?;
            transaction.execute(&statement, &[&(n + 1), &key]).await.map_err(text)?;
            transaction.commit().await.map_err(text)
        })
    }
}
