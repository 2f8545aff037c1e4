//! Requests of clients to gateways that belong to no session, such as a search for cameras: they
//! are sent on, answered piece by piece, and cancelled when nobody waits any more.

use porthole_clock::Now;
use porthole_signaling_proto::manage::{CancelParams, ProgressParams};
use porthole_signaling_proto::method::{Cancel, Method, Move, Progress};
use porthole_signaling_proto::rpc::{Fault, Message, RequestId, code};
use porthole_signaling_proto::{CameraId, GatewayId, rpc};
use serde_json::Value;
use tracing::{info, trace};

use crate::address::Address;
use crate::call::Call;
use crate::exchanges::{Asker, Due, Effect};
use crate::links::Connection;
use crate::timer::Timer;
use crate::{Admitted, ConnId, Granted, Hub, Principal};

/// The longest parameters that are sent on: a sealed password has less than 1 KiB.
const MAX_PARAMS_BYTES: usize = 16 * 1024;
/// The longest id of such a request, which is repeated in each piece of progress.
const MAX_ID_CHARS: usize = 64;

/// Reads the parameters of a method for their errors, and writes them again without fields that
/// nobody knows.
fn known_fields<M: Method>(params: Value) -> Result<Value, Fault> {
    Ok(rpc::write(&rpc::read::<M::Params>(params)?))
}

impl Hub {
    /// Handles a request that the gateway answers: sends it on with the name of who asks.
    pub(crate) fn handle_exchange<M: Method>(
        &mut self,
        call: &Call,
        admitted: Admitted,
        params: Value,
    ) -> Result<(), Fault> {
        let params = known_fields::<M>(params)?;
        let gateway: GatewayId = rpc::read(params["peer"].clone())?;
        let granted = self.managed(call, &admitted, &gateway)?;
        self.start_exchange(call, &gateway, &granted, M::NAME, params, None)
    }

    /// Returns the proof that the sender may manage a gateway, which is known.
    pub(crate) fn managed(
        &self,
        call: &Call,
        admitted: &Admitted,
        gateway: &GatewayId,
    ) -> Result<Granted<GatewayId>, Fault> {
        let granted = admitted.on_gateway(gateway, call.now)?;
        if !self.directory.knows(gateway) {
            return Err(Fault::new(code::NOT_FOUND, "there is no such gateway"));
        }
        Ok(granted)
    }

    /// Handles a request about one camera that its gateway answers.
    pub(crate) fn handle_camera_exchange<M: Method>(
        &mut self,
        call: &Call,
        admitted: Admitted,
        params: Value,
    ) -> Result<(), Fault> {
        let params = known_fields::<M>(params)?;
        let gateway: GatewayId = rpc::read(params["peer"].clone())?;
        let camera: CameraId = rpc::read(params["camera"].clone())?;
        let granted = self.find_camera(call.now, &admitted, &gateway, Some(&camera))?;
        self.start_exchange(call, &gateway, &granted, M::NAME, params, None)
    }

    /// Sends a request on. What was granted is the gateway, or a camera of it, on which it may have
    /// an effect.
    pub(crate) fn start_exchange<T>(
        &mut self,
        call: &Call,
        gateway_id: &GatewayId,
        granted: &Granted<T>,
        method: &str,
        mut params: Value,
        effect: Option<Effect>,
    ) -> Result<(), Fault> {
        let by = granted.principal().name();
        if let Some(params) = params.as_object_mut() {
            params.insert("by".to_owned(), Value::from(by));
        }
        let asker = Asker { conn: call.conn, id: call.id.clone() };
        self.check_exchange(&asker, &params)?;
        let gateway = self.reach(Address::Gateway(gateway_id))?;
        self.check_room(call.conn, gateway)?;
        let limits = &self.config.limits;
        let (silence, longest) = (limits.exchange_silence, limits.exchange_duration);
        let ends_at = call.now.instant + granted.lifetime(call.now, longest);
        let silent_at = call.now.instant + silence;
        let number = self.links.next_number();
        self.exchanges.add(gateway, number, asker, silent_at, ends_at);
        if let Some(effect) = effect {
            self.exchanges.note_effect(gateway, number, effect);
        }
        self.timers.set(silent_at.min(ends_at), Timer::Exchange(gateway, number));
        // A movement is asked for three times a second.
        if method == Move::NAME {
            trace!(gateway = %gateway_id, by, method, "a gateway is asked");
        } else {
            info!(gateway = %gateway_id, by, method, "a gateway is asked");
        }
        let (id, method) = (RequestId::Number(number), method.to_owned());
        self.send(gateway, Message::Request { id, method, params });
        Ok(())
    }

    pub(crate) fn check_exchange(&self, asker: &Asker, params: &Value) -> Result<(), Fault> {
        let refuse = |text: &str| Err(Fault::new(code::BAD_REQUEST, text));
        if let RequestId::Text(id) = &asker.id
            && id.chars().count() > MAX_ID_CHARS
        {
            return refuse("the id of this request is too long: use at most 64 characters");
        }
        if self.exchanges.find(asker).is_some() {
            return refuse("a request with this id is in progress; use another id");
        }
        if params.to_string().len() > MAX_PARAMS_BYTES {
            return refuse("the request is too long for a gateway: send at most 16 KiB");
        }
        Ok(())
    }

    pub(crate) fn check_room(&self, client: ConnId, gateway: ConnId) -> Result<(), Fault> {
        let limits = &self.config.limits;
        let principal = self.links.get(client).and_then(Connection::principal);
        let account = principal.map(Principal::account).unwrap_or_default();
        let of_account = self.directory.clients_counted_for(account);
        let open: usize = of_account.map(|conn| self.exchanges.of_client(conn)).sum();
        if open >= limits.exchanges_per_subject {
            let text = "too many requests at once; wait for the answers";
            return Err(Fault::new(code::TOO_MANY_REQUESTS, text));
        }
        if self.exchanges.with_gateway(gateway) >= limits.exchanges_per_gateway {
            let text = "the gateway has too many requests to answer; try again in a minute";
            return Err(Fault::new(code::INSUFFICIENT_RESOURCES, text));
        }
        Ok(())
    }

    /// Handles `portholeProgress` of a gateway: sends it on to the client that has asked.
    pub(crate) fn handle_progress(
        &mut self,
        now: Now,
        conn: ConnId,
        _: Admitted,
        params: Value,
    ) -> Result<(), Fault> {
        let ProgressParams { request, value } = rpc::read(params)?;
        let RequestId::Number(number) = request else { return Ok(()) };
        let silent_at = now.instant + self.config.limits.exchange_silence;
        // It may have been cancelled a moment ago.
        if let Some(Asker { conn, id }) = self.exchanges.progress(conn, number, silent_at) {
            let params = ProgressParams { request: id, value };
            self.send(conn, Message::notification::<Progress>(&params));
        }
        Ok(())
    }

    /// Handles `portholeCancel` of a client: nobody waits for the request any more.
    pub(crate) fn handle_cancel(
        &mut self,
        _: Now,
        conn: ConnId,
        _: Admitted,
        params: Value,
    ) -> Result<(), Fault> {
        let CancelParams { request: id } = rpc::read(params)?;
        if let Some((gateway, number)) = self.exchanges.find(&Asker { conn, id })
            && !self.exchanges.has_effect(gateway, number)
        {
            self.exchanges.take(gateway, number);
            self.timers.cancel(&Timer::Exchange(gateway, number));
            self.cancel_at(gateway, number);
        }
        Ok(())
    }

    /// Ends the exchanges of a connection that is closed: those of a client are cancelled, those
    /// with a gateway fail.
    pub(crate) fn end_exchanges_of(&mut self, conn: ConnId) {
        for (gateway, number) in self.exchanges.take_of_client(conn) {
            self.cancel_at(gateway, number);
        }
        for asker in self.exchanges.take_with_gateway(conn) {
            let text = "the gateway has just disconnected; try again";
            self.answer(asker, Err(Fault::new(code::UNAVAILABLE, text)));
        }
    }

    pub(crate) fn handle_exchange_timeout(&mut self, now: Now, gateway: ConnId, number: i64) {
        match self.exchanges.take_due(gateway, number, now.instant) {
            Some(Due::Failed(asker)) => {
                self.cancel_at(gateway, number);
                let text = "the gateway did not respond in time; try again";
                self.answer(asker, Err(Fault::new(code::REQUEST_TIMEOUT, text)));
            }
            Some(Due::Later(at)) => self.timers.set(at, Timer::Exchange(gateway, number)),
            None => {}
        }
    }

    fn cancel_at(&mut self, gateway: ConnId, number: i64) {
        let params = CancelParams { request: RequestId::Number(number) };
        self.send(gateway, Message::notification::<Cancel>(&params));
    }

    /// Sends a client the outcome of its exchange.
    pub(crate) fn answer(&mut self, Asker { conn, id }: Asker, outcome: Result<Value, Fault>) {
        self.send(conn, Message::Response { id: Some(id), outcome });
    }
}
