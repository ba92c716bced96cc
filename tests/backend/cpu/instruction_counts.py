"""Counts the instructions that products and vector kernels execute and compares them with the recorded ones.

Unlike times, they are the same on every machine and at every load: a kernel that got slower by executing more is seen by
any CI. Counts depend on the compiler: with another one than the recorded nothing is compared. What it cannot see: stalls,
misses, and AVX-512, which valgrind does not execute.

Usage: instruction_counts.py --program count_instructions --counts FILE --compiler NAME [--record]
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

TOLERANCE = 0.03
SKIPPED = 77
# Address and code of a register to register instruction with a VEX prefix and opcode D6.
VMOVQ_STORE = re.compile(r"^ *([0-9a-f]+):\t((?:c5 [0-9a-f]{2}|c4 [0-9a-f]{2} [0-9a-f]{2}) d6 [c-f][0-9a-f]) ")
RENEW = "scripts/record_instruction_counts.sh"


def executable_by_valgrind(program, copy):
    """Writes a copy without the one instruction of AVX2 kernels that valgrind 3.19 does not know.

    It is vmovq from register to register in the encoding that stores (VEX 0F D6), which the assembler takes where it is a
    byte shorter. Opcode 7F in its place is vmovdqa of the same registers: the same length, and what differs, the upper half
    of the result, changes values at most. No branch of a product depends on values.
    """
    code = bytearray(pathlib.Path(program).read_bytes())
    listing = subprocess.run(["objdump", "-d", "--section=.text", program], capture_output=True, text=True, check=True)
    for line in listing.stdout.splitlines():
        found = VMOVQ_STORE.match(line)
        if not found:
            continue
        start, encoded = int(found[1], 16), bytes.fromhex(found[2])
        if code[start:start + len(encoded)] != encoded:
            sys.exit(f"{program}: the code at {start:#x} is not where its address says")
        code[start + len(encoded) - 2] = 0x7F
    copy.write_bytes(code)
    copy.chmod(0o755)


def count(program):
    """Name -> instructions, and the instruction sets that this machine lacks."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        copy = folder / "program"
        executable_by_valgrind(program, copy)
        # Symbols are bound at the start, so that no count has the dynamic linker's work in it.
        run = subprocess.run(
            ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--collect-atstart=no", "--compress-strings=no",
             f"--callgrind-out-file={folder}/out", copy],
            env={**os.environ, "LD_BIND_NOW": "1"}, capture_output=True, text=True)
        if run.returncode != 0:
            sys.exit(f"{program} under valgrind failed:\n{run.stderr[-3000:]}")
        counts = {}
        for file in folder.glob("out*"):
            trigger = total = None
            with file.open() as lines:
                for line in lines:
                    if line.startswith("desc: Trigger: Client Request: "):
                        trigger = line.split(": ", 3)[3].strip()
                    elif line.startswith(("summary: ", "totals: ")):
                        total = int(line.split()[1])
            if trigger:
                counts[trigger] = total
    return counts, [line.split()[1] for line in run.stdout.splitlines() if line.startswith("unsupported ")]


def read(path):
    compiler, counts = None, {}
    for line in path.read_text().splitlines():
        if line.startswith("compiler: "):
            compiler = line.split(": ", 1)[1]
        elif line and not line.startswith("#"):
            name, number = line.rsplit(" ", 1)
            counts[name] = int(number)
    return compiler, counts


def write(path, compiler, counts):
    head = ("# Instructions executed by products (64 outputs, 512 columns or a little more) and vector kernels, by set.\n"
            f"# Written by {RENEW}.\ncompiler: {compiler}\n")
    path.write_text(head + "".join(f"{name} {counts[name]}\n" for name in sorted(counts)))


def compare(recorded, counts, missing_sets):
    """Lines that say what differs."""
    wrong = []
    for name in sorted(recorded.keys() | counts.keys()):
        if name.split()[0] in missing_sets:
            continue
        if name not in counts:
            wrong.append(f"{name}: recorded, but no longer counted")
        elif name not in recorded:
            wrong.append(f"{name}: {counts[name]} instructions, not recorded")
        else:
            change = counts[name] / recorded[name] - 1
            if abs(change) > TOLERANCE:
                word = "REGRESSED" if change > 0 else "improved"
                wrong.append(f"{word} {change:+.1%}  {name}: {counts[name]} instructions, {recorded[name]} recorded")
    return wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--counts", type=pathlib.Path, required=True)
    parser.add_argument("--compiler", required=True)
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    if not shutil.which("valgrind"):
        print("SKIPPED: instruction counts: valgrind is not installed (scripts/install_packages.sh test)")
        return SKIPPED
    if options.record:
        counts, missing = count(options.program)
        if missing:
            sys.exit(f"this machine cannot count {', '.join(missing)}")
        write(options.counts, options.compiler, counts)
        print(f"{len(counts)} counts recorded in {options.counts}")
        return 0
    compiler, recorded = read(options.counts)
    if compiler != options.compiler:
        print(f"SKIPPED: instruction counts: recorded with \"{compiler}\", this build is \"{options.compiler}\"")
        return SKIPPED
    counts, missing = count(options.program)
    for name in missing:
        print(f"SKIPPED: instruction counts of {name}: this machine lacks it")
    wrong = compare(recorded, counts, missing)
    if not wrong:
        print(f"{len(counts)} counts within {TOLERANCE:.0%} of the recorded ones")
        return 0
    print("\n".join(f"error: {line}" for line in wrong))  # scripts/run_tests.sh repeats these lines
    print(f"error: {len(wrong)} of {len(recorded)} instruction counts are off by more than {TOLERANCE:.0%}. "
          f"If that is meant, run {RENEW} and commit the file.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
