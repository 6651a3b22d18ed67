// `ekiden-sim`: runs the whole relay in simulated worlds, one seed each, and says which of them
// broke a promise. Worlds run in child processes, one for each processor, since a crashed world
// leaves its unfinished tasks behind for good.

import EkidenRuntime
import EkidenSimulator
import Glibc

let arguments = Arguments(CommandLine.arguments.dropFirst())
if let problem = arguments.problem {
    print(problem)
    print(Arguments.usage)
    exit(2)
}
switch arguments.mode {
case .help:
    print(Arguments.usage)
case .one(let seed):
    exit(Runner(arguments).runOne(seed))
case .shrink(let seed):
    Runner(arguments).shrink(seed)
case .worker(let seeds, let stride):
    Runner(arguments).work(seeds, stride)
case .known(let file):
    exit(Crew(arguments).run(file: file))
case .many(let seeds):
    exit(Crew(arguments).run(seeds))
}
