/// The command line, read once.
struct Arguments {
    enum Mode {
        case help
        case one(UInt64)
        case many(ClosedRange<UInt64>)
        /// The seeds of a file, one at the beginning of each line.
        case known(String)
        case shrink(UInt64)
        /// A child's part: every `stride`-th seed of the range.
        case worker(ClosedRange<UInt64>, stride: UInt64)
    }

    private(set) var mode = Mode.help
    private(set) var hours: Double?
    private(set) var isTraced = false
    private(set) var problem: String?
    private(set) var processes: Int?
    private(set) var isTwice = false

    static let usage = """
        Usage: ekiden-sim --seed N [--trace] [--hours H]
               ekiden-sim --seeds A..B [--twice] [--hours H] [--processes P]
               ekiden-sim --known FILE [--twice] [--hours H]
               ekiden-sim --shrink N [--hours H]

        Runs the whole relay in a simulated world: clients, mail hosts, name servers, network, disk
        and clock all misbehave as the seed says, the relay is killed and loses its power, and in the
        end every message must have come to exactly one end. The same seed is the same world.

          --seed N       run one world; --trace prints all that happens in it
          --seeds A..B   run a range, some at a time; a line for each that failed, and a summary
          --known FILE   run the seeds of a file, one at the beginning of each line
          --twice        run each world in two processes, and compare their traces
          --shrink N     find a smaller world of a seed that fails
          --hours H      virtual hours in which things go wrong (else as the seed says)
          --processes P  worlds at a time (else one for each processor)

        Exit status: 0 all promises held, 1 some did not, 2 wrong usage.
        """

    init(_ given: some Sequence<String>) {
        var rest = Array(given)
        while !rest.isEmpty {
            let word = rest.removeFirst()
            switch word {
            case "--help", "-h": return
            case "--trace": isTraced = true
            case "--twice": isTwice = true
            case "--seed", "--shrink", "--seeds", "--known", "--hours", "--worker", "--processes":
                guard !rest.isEmpty else {
                    problem = "\(word) needs a value"
                    return
                }
                take(word, rest.removeFirst())
            default: problem = "\(word) is no option"
            }
            if problem != nil { return }
        }
        if case .help = mode { problem = "say which seed" }
    }

    private mutating func take(_ word: String, _ value: String) {
        switch word {
        case "--hours":
            hours = Double(value)
            if hours == nil { problem = "\(value) is no number of hours" }
        case "--processes":
            processes = Int(value)
            if (processes ?? 0) < 1 { problem = "\(value) is no number of processes" }
        case "--known": mode = .known(value)
        case "--seed", "--shrink":
            guard let seed = UInt64(value) else {
                problem = "\(value) is no seed: a seed is a number"
                return
            }
            mode = word == "--seed" ? .one(seed) : .shrink(seed)
        default:
            let parts = value.split(separator: "/")
            let ends = (parts.first ?? "").split(separator: ".", omittingEmptySubsequences: true)
            guard ends.count == 2, let low = UInt64(ends[0]), let high = UInt64(ends[1]),
                low <= high
            else {
                problem = "\(value) is no range: say 1..1000"
                return
            }
            let stride = parts.count == 2 ? UInt64(parts[1]) ?? 1 : 1
            mode = word == "--seeds" ? .many(low...high) : .worker(low...high, stride: stride)
        }
    }
}
