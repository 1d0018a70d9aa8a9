"""Meta as a destination: user_data, its rules for events, what its answers mean, and the client."""
