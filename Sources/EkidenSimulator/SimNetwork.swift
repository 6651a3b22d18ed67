// The network of the simulated world: connections between loops, as byte streams in virtual time.
// What may go wrong with one is decided when it is made, from the weather of that moment: how long
// bytes take, in what pieces they arrive, how much fits on the way, and after how many bytes it
// breaks. Fair is what TCP permits: bytes arrive in order and unchanged, or the connection ends.

import EkidenMail
import EkidenRuntime
import Glibc

/// What connections have to expect from now on.
package struct SimWeather: Sendable {
    /// One way.
    package var latency: ClosedRange<Duration> = .microseconds(50) ... .milliseconds(2)
    /// Once in so many connections: bytes arrive in pieces down to one (0: never).
    package var crumbling: UInt64 = 0
    /// … a window of a few bytes, so that writes are partial and wait.
    package var narrow: UInt64 = 0
    /// … reset after a drawn number of bytes.
    package var breaking: UInt64 = 0
    /// … bytes stop arriving after a drawn number, and nobody is told.
    package var vanishing: UInt64 = 0
    /// … no answer to the attempt to connect.
    package var silent: UInt64 = 0
    /// … refused.
    package var refusing: UInt64 = 0

    package init() {}

    package static let calm = SimWeather()

    package static var stormy: SimWeather {
        var weather = SimWeather()
        weather.latency = .microseconds(50) ... .milliseconds(400)
        weather.crumbling = 6
        weather.narrow = 8
        weather.breaking = 12
        weather.vanishing = 40
        weather.silent = 25
        weather.refusing = 20
        return weather
    }
}

/// Where a socket's readiness is told.
struct SimHome {
    let loop: Loop
    let handle: Handle
    init(_ loop: Loop, _ handle: Handle) {
        self.loop = loop
        self.handle = handle
    }
}

/// `@unchecked Sendable`: like its `SimWorld`, it is used on the world's one thread alone.
package final class SimNetwork: @unchecked Sendable {
    private unowned let world: SimWorld
    private let random: SimRandom
    private var listeners: [Endpoint: SimListener] = [:]
    private var sockets: [Int32: SimSocket] = [:]
    private var opened: [Endpoint: Int] = [:]
    private var lastNumber: Int32 = 0
    private var lastPort: UInt16 = 20_000
    package var weather = SimWeather.calm
    /// Addresses that never answer.
    package var silentPeers: Set<HostAddress> = []
    /// A line for each connection made, refused and broken, for the trace.
    package var noted: ((String) -> Void)?
    /// How often each kind of trouble struck, by its name in `SimWeather`.
    package private(set) var troubles: [String: Int] = [:]

    init(world: SimWorld) {
        self.world = world
        random = world.random.branch()
    }

    func trouble(_ kind: String, _ text: @autoclosure () -> String) {
        troubles[kind, default: 0] += 1
        noted?("net \(kind) \(text())")
    }

    // MARK: Listening

    func listen(on endpoint: Endpoint, backlog: Int, _ home: SimHome) -> SimListener? {
        guard listeners[endpoint] == nil else { return nil }
        let listener = SimListener(endpoint: endpoint, backlog: backlog, home: home)
        listeners[endpoint] = listener
        return listener
    }

    func close(_ listener: SimListener) {
        listeners[listener.endpoint] = nil
        while let socket = listener.take() { socket.close() }
    }

    // MARK: Connecting

    func connect(
        from source: HostAddress,
        to peer: Endpoint,
        _ home: SimHome
    ) -> Result<SimSocket, SystemError> {
        lastPort = lastPort == .max ? 20_000 : lastPort + 1
        let local = Endpoint(source, lastPort)
        let link = SimLink(
            world: world,
            random: random,
            weather: weather,
            text: "\(local.text)>\(peer.text)"
        )
        let near = makeSocket(local: local, peer: peer, link, .near)
        opened[peer, default: 0] += 1
        near.home = home
        if silentPeers.contains(peer.address) || once(weather.silent) {
            trouble("silent", link.text)
            return .success(near)
        }
        if once(weather.refusing) {
            trouble("refusing", link.text)
            link.later { near.fail(ECONNREFUSED) }
            return .success(near)
        }
        link.later { [self] in
            guard let listener = listeners[peer], listener.hasRoom else {
                link.later { near.fail(ECONNREFUSED) }
                return
            }
            let far = makeSocket(local: peer, peer: local, link, .far)
            far.other = near
            near.other = far
            listener.put(far)
            link.later { near.becomeConnected() }
        }
        return .success(near)
    }

    private func once(_ n: UInt64) -> Bool { n > 0 && random.once(in: n) }

    private func makeSocket(
        local: Endpoint,
        peer: Endpoint,
        _ link: SimLink,
        _ side: SimLink.Side
    ) -> SimSocket {
        lastNumber += 1
        let socket = SimSocket(
            number: lastNumber,
            local: local,
            peer: peer,
            link: link,
            side: side,
            network: self
        )
        sockets[lastNumber] = socket
        return socket
    }

    func socket(_ number: Int32) -> SimSocket? { sockets[number] }

    func forget(_ socket: SimSocket) {
        if sockets.removeValue(forKey: socket.number) != nil, socket.isNear {
            opened[socket.peer, default: 0] -= 1
        }
    }

    /// Connections to there whose caller has not closed them.
    package func openConnections(to peer: Endpoint) -> Int { opened[peer, default: 0] }

    /// The machine or process of these loops is gone: by a kill, after which its kernel closes the
    /// connections, or with the power, silently.
    package func machineDied(_ loops: [Loop], silently: Bool) {
        for loop in loops { (loop.backend as? SimLoopBackend)?.die(silently: silently) }
    }
}

/// A port somebody listens on.
final class SimListener {
    let endpoint: Endpoint
    private let backlog: Int
    private let home: SimHome
    private var waiting: [SimSocket] = []

    init(endpoint: Endpoint, backlog: Int, home: SimHome) {
        self.endpoint = endpoint
        self.backlog = backlog
        self.home = home
    }

    var hasRoom: Bool { waiting.count < backlog }

    func put(_ socket: SimSocket) {
        waiting.append(socket)
        home.loop.happened(.readable, to: home.handle)
    }

    func take() -> SimSocket? { waiting.isEmpty ? nil : waiting.removeFirst() }
}
