//! Serves the stats page of a made-up process, to look at the page without traffic.
//!
//! `cargo run -p evenkeel-admin --example page [-- ADDRESS [healthy]]`, then open the address it prints.

#[path = "../src/sample.rs"]
mod sample;

use std::rc::Rc;
use std::time::Duration;

use evenkeel_admin::{Source, View, serve};

struct Sample {
    healthy: bool,
}

impl Source for Sample {
    fn view(&self) -> View {
        if self.healthy { sample::healthy() } else { sample::view() }
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }
}

#[expect(clippy::print_stdout, reason = "the address is this program's output")]
fn main() -> std::io::Result<()> {
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:8404".into());
    let source = Rc::new(Sample { healthy: args.next().as_deref() == Some("healthy") });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default())?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(address).await?;
        println!("http://{}/", listener.local_addr()?);
        serve(listener, source, Some(Duration::from_secs(5)), std::future::pending()).await;
        Ok(())
    })
}
