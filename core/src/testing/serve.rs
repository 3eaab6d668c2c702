//! What arrives: each end of each connection gets it when its time has come.

use super::legs::Leg;
use super::network::{Parcel, Place};
use super::world::World;
use crate::attach::{Ended, LegId};
use crate::endpoint::{Input, Way};

impl World {
    pub(super) fn serve_legs(&mut self) -> Result<(), String> {
        let numbers: Vec<u64> = self.legs.keys().copied().collect();
        for number in numbers {
            self.serve_leg(number)?;
            if self.legs.get(&number).is_some_and(Leg::is_over) {
                self.legs.remove(&number);
            }
        }
        Ok(())
    }

    pub(super) fn serve_leg(&mut self, number: u64) -> Result<(), String> {
        let now = self.now;
        while let Some(leg) = self.legs.get_mut(&number) {
            let (who, id) = (leg.who, leg.id);
            let asleep = self.peers[who].asleep.is_some();
            if let Some((at, works)) = leg.connecting {
                if at > now || !leg.peer.lives {
                    return Ok(());
                }
                let front = &mut self.relays[self.front];
                if works && self.listens_from <= now && now < front.stops_at {
                    (leg.connecting, leg.relay) = (None, self.front);
                    front.accept(number, now);
                    self.input(who, Input::LegConnected(id))?;
                } else {
                    leg.peer.lives = false;
                    self.leg_ended(who, id, Ended::Broken)?;
                }
                continue;
            }
            let relay = leg.relay;
            if !self.relays[relay].is_full(who)
                && let Some(parcel) = leg.arrives_at_relay(now)
            {
                let mut done = Ok(());
                self.with_relay(relay, |relay, around| {
                    done = relay.take(number, who, parcel, around);
                });
                done?;
            } else if leg.relay_side.notices(now) {
                let lost = Parcel::End(Ended::Broken);
                let mut done = Ok(());
                self.with_relay(relay, |relay, around| {
                    done = relay.take(number, who, lost, around);
                });
                done?;
            } else if asleep {
                return Ok(());
            } else if let Some(parcel) = leg.arrives_at_peer(now) {
                match parcel {
                    Parcel::Frame(bytes) => self.frame(who, Way::Leg(id), bytes)?,
                    Parcel::End(ended) => self.leg_ended(who, id, ended)?,
                }
            } else if leg.peer.notices(now) {
                self.leg_ended(who, id, Ended::Broken)?;
            } else {
                return Ok(());
            }
        }
        Ok(())
    }

    fn leg_ended(&mut self, who: usize, id: LegId, ended: Ended) -> Result<(), String> {
        self.peers[who].legs.remove(&id);
        self.input(who, Input::LegEnded(id, ended))
    }

    pub(super) fn serve_direct(&mut self) -> Result<(), String> {
        for who in 0..2 {
            while self.is_awake(who) {
                if let Some((attempt, input)) = self.direct.report(who, self.now) {
                    self.input(who, Input::Direct(attempt, input))?;
                } else if let Some((attempt, bytes)) = self.direct.arrive(who, self.now) {
                    self.frame(who, Way::Direct(attempt), bytes)?;
                } else {
                    break;
                }
            }
        }
        Ok(())
    }

    pub(super) fn serve_cloud(&mut self) -> Result<(), String> {
        while let Some((place, bytes)) = self.cloud.arrive(self.now) {
            match place {
                Place::Up(number) => {
                    if let Some(leg) = self.legs.get(&number)
                        && leg.relay_side.lives
                    {
                        let (relay, who) = (leg.relay, leg.who);
                        let mut done = Ok(());
                        self.with_relay(relay, |relay, around| {
                            done = relay.take_datagram(number, who, bytes, around);
                        });
                        done?;
                    }
                }
                Place::Down(number) => {
                    if let Some(leg) = self.legs.get(&number)
                        && leg.peer.lives
                        && self.is_awake(leg.who)
                    {
                        let (who, id) = (leg.who, leg.id);
                        self.frame(who, Way::Leg(id), bytes)?;
                    }
                }
                Place::Direct(to, attempt) => {
                    if self.is_awake(to) && self.direct.open(to) == Some(attempt) {
                        self.frame(to, Way::Direct(attempt), bytes)?;
                    }
                }
            }
        }
        Ok(())
    }
}
