//! What a relay counts.

use std::fmt;

use peersox_core::close::CloseReason;
use peersox_core::frame::Lane;
use peersox_relay::{DropReason, Refusal, Relay, Standing, Stun, Transport};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// The counters that a relay keeps itself.
pub(crate) struct OfRelay(pub(crate) Relay);

impl fmt::Debug for OfRelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OfRelay").finish_non_exhaustive()
    }
}

impl Collector for OfRelay {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let now = self.0.snapshot();
        let mut gauge = |name, help, value: u64| {
            let value = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let one = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            value.encode(one)
        };
        gauge(
            "legs",
            "Connections of peers, and of those who are to be",
            now.legs,
        )?;
        let help = "Memory that waiting frames take";
        gauge("relay_memory_bytes", help, now.memory)?;
        let help = "Memory that waiting frames may take";
        gauge("relay_memory_limit_bytes", help, now.memory_limit)?;
        gauge(
            "relay_draining",
            "1 once the relay is stopping",
            self.0.is_draining().into(),
        )?;
        let mut gauges = |name, help, values: &[(&str, &str, u64)]| {
            let mut all = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for &(label, is, value) in values {
                let value = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
                value.encode(all.encode_family(&[(label, is)])?)?;
            }
            fmt::Result::Ok(())
        };
        let sessions = Standing::ALL.map(|it| ("state", it.as_str(), now.sessions[it as usize]));
        let help = "Pairs of which a peer is attached or waited for, by state";
        gauges("sessions", help, &sessions)?;
        let by_transport = |counts: [u64; 4]| {
            Transport::ALL.map(|it| ("transport", it.as_str(), counts[it as usize]))
        };
        let help = "Legs of peers whose ticket was good, by transport";
        gauges("legs_attached", help, &by_transport(now.attached))?;
        let mut alone = |name, help, value| {
            let all = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(value).encode(all)
        };
        let help = "Peers hung up because they had not gone elsewhere in time";
        alone("legs_cut_off", help, now.cut_off)?;
        let help = "Times that a leg was slowed down because a budget of bytes was spent";
        alone("legs_slowed", help, now.slowed)?;
        let help = "Comings and goings of which control was not told in time";
        alone("presence_lost", help, now.presence_lost)?;
        let mut counter = |name, help, values: &[(&str, &str, u64)]| {
            let mut all = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for &(label, is, value) in values {
                ConstCounter::new(value).encode(all.encode_family(&[(label, is)])?)?;
            }
            fmt::Result::Ok(())
        };
        let help = "Peers whose ticket was good, by transport";
        counter("legs_admitted", help, &by_transport(now.admitted))?;
        let by_lane = |counts: [u64; 4]| {
            let named = |(lane, count): (Lane, u64)| ("lane", lane_name(lane), count);
            Lane::ALL
                .into_iter()
                .zip(counts)
                .map(named)
                .collect::<Vec<_>>()
        };
        counter("frames", "Frames forwarded, by lane", &by_lane(now.frames))?;
        counter("bytes", "Bytes forwarded, by lane", &by_lane(now.bytes))?;
        let numbers: Vec<_> = CloseReason::ALL
            .iter()
            .map(|it| it.number().to_string())
            .collect();
        let hung_up = CloseReason::ALL.iter().zip(&numbers);
        let hung_up: Vec<_> = hung_up
            .map(|(it, number)| ("code", number.as_str(), now.hung_up(*it)))
            .collect();
        counter("legs_hung_up", "Legs hung up, by close number", &hung_up)?;
        let stun = Stun::ALL.map(|it| ("outcome", it.as_str(), now.stun(it)));
        let help = "Datagrams of STUN, by what became of them";
        counter("stun_requests", help, &stun)?;
        let help = "Frames dropped, by lane and reason";
        let mut all =
            encoder.encode_descriptor("frames_dropped", help, None, MetricType::Counter)?;
        for it in DropReason::ALL {
            let labels = [("lane", lane_name(it.lane())), ("reason", it.as_str())];
            ConstCounter::new(now.dropped(it)).encode(all.encode_family(&labels)?)?;
        }
        let help = "Connections that did not become the leg of a peer, by transport and reason";
        let mut all = encoder.encode_descriptor("legs_refused", help, None, MetricType::Counter)?;
        for transport in Transport::ALL {
            for why in Refusal::ALL {
                let labels = [("transport", transport.as_str()), ("reason", why.as_str())];
                let count = ConstCounter::new(now.refused(transport, why));
                count.encode(all.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

const fn lane_name(lane: Lane) -> &'static str {
    match lane {
        Lane::Notice => "notice",
        Lane::Reliable => "reliable",
        Lane::Datagram => "datagram",
        Lane::Signal => "signal",
    }
}
