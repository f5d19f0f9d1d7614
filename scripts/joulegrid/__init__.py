"""joulegrid: a grid of compressed language models on machines, in joules, read against the
electricity grid.

The map of its rooms. What stands on the ground is imported by all; a room imports from rooms above
it in its half only.

Ground, in every environment, the standard library only
    errors        what ends a job with a message, and what is a finding
    units         conversions
    records       JSON records, the identity of specs, provenance
    jobs          plumbing that entry scripts share: running, outcomes, devices, folders of weights
    texts         reading what studies name: texts and prompts, questions and templates,
                  data sets of fine-tuning, instants of arrival
    judging.arena what a judge is asked
    models.content, models.context   what a model folder holds, and the longest sequence
    metering.estimates, metering.tables   power where no counter can be read (with psutil)

On the login node, never torch
    study         from a YAML file to jobs: checks, methods, code, packages, specs, what is there
    analysis      from records to answers: the dataset, statistics, comparison, carbon
    planning      before the run: time, energy and memory of jobs, what cannot run
    report        columns, figures, the page

On compute nodes, never study
    texts         calibration samples
    models        obtaining and describing a model
    compression   making weights smaller: pruning, quantization
    training      fine-tuning
    engines       what runs requests: transformers (with loading), llamacpp, vllm
    workloads     what is asked of an engine
    metering      the meter, and the protocol of a session
    quality       what a configuration is worth
    judging       asking a judge to compare answers

A result is identified by its spec (study/specs.py); which code counts in it is found by
study/code.py.
"""

__version__ = "0.2.0"
