"""What experiments share: the contract, the catalogue, the data, evaluation and the command line."""
