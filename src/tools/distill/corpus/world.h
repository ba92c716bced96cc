// The closed world of the corpus: who and what its sentences speak of.
#pragma once

namespace sluice::tools::corpus {

inline constexpr const char* kNames[] = {
    "Mia", "Ben", "Ada",  "Tom",  "Eva",  "Leo",  "Ida",  "Max",  "Zoe",  "Sam",  "Ina",  "Jon",
    "Lea", "Tim", "Rosa", "Paul", "Nora", "Emil", "Anna", "Karl", "Vera", "Hugo", "Lina", "Otto"};
inline constexpr const char* kThings[] = {
    "apples", "pears",   "plums",  "books", "pens",    "coins",   "stamps", "shells",
    "eggs",   "nuts",    "cards",  "balls", "flowers", "stones",  "cups",   "candles",
    "beans",  "tickets", "lemons", "kites", "bottles", "buttons", "seeds",  "ribbons"};
inline constexpr const char* kContainers[] = {"boxes",   "bags",    "baskets",
                                              "shelves", "drawers", "crates"};
inline constexpr const char* kPlaces[] = {"shop",   "garden", "school", "kitchen",
                                          "market", "cellar", "tower",  "library"};
inline constexpr const char* kDays[] = {"Monday", "Tuesday",  "Wednesday", "Thursday",
                                        "Friday", "Saturday", "Sunday"};
inline constexpr const char* kEvents[] = {"dentist",  "piano",  "lunch",    "meeting",
                                          "swimming", "dinner", "football", "haircut"};
inline constexpr const char* kFiles[] = {"notes.txt", "list.txt",   "plan.txt",  "report.txt",
                                         "todo.txt",  "letter.txt", "draft.txt", "log.txt"};
inline constexpr const char* kWeathers[] = {"sunny", "rainy", "cloudy", "windy", "snowy", "foggy"};
inline constexpr const char* kColours[] = {"red",   "blue",  "green", "yellow",
                                           "black", "white", "brown", "pink"};
inline constexpr const char* kAnimals[] = {"cat",  "dog",  "fox",   "hen",   "duck",
                                           "goat", "frog", "horse", "mouse", "owl"};
inline constexpr const char* kAdjectives[] = {"small", "big",   "old",   "young", "quick",
                                              "slow",  "happy", "quiet", "brave", "kind"};
inline constexpr const char* kVerbs[] = {"sees",  "likes",   "follows", "finds",
                                         "helps", "watches", "meets",   "calls"};

// For copying and sorting: the words say nothing, they only have to be kept apart.
inline constexpr const char* kWords[] = {
    "able",        "above",     "across",    "active",   "afraid",  "again",    "air",
    "alive",       "alone",     "already",   "always",   "angry",   "answer",   "any",
    "arm",         "arrive",    "art",       "ask",      "asleep",  "autumn",   "awake",
    "away",        "baby",      "back",      "bad",      "bake",    "ball",     "band",
    "bank",        "bark",      "barn",      "bath",     "beach",   "bear",     "beautiful",
    "bed",         "bee",       "before",    "begin",    "behind",  "bell",     "below",
    "bend",        "best",      "better",    "between",  "bike",    "bird",     "bite",
    "bitter",      "blow",      "board",     "boat",     "body",    "boil",     "bold",
    "bone",        "borrow",    "both",      "bottom",   "bounce",  "bow",      "bowl",
    "box",         "branch",    "breakfast", "breath",   "brick",   "bridge",   "bright",
    "broad",       "broken",    "broom",     "brother",  "bucket",  "build",    "building",
    "burn",        "bus",       "bush",      "busy",     "butter",  "buy",      "cake",
    "calendar",    "calm",      "camera",    "camp",     "candle",  "cap",      "captain",
    "car",         "card",      "careful",   "carpet",   "carry",   "castle",   "catch",
    "chain",       "chair",     "chalk",     "change",   "cheap",   "cheese",   "cherry",
    "chest",       "child",     "choose",    "church",   "circle",  "circus",   "class",
    "clay",        "clean",     "clear",     "clever",   "climb",   "clock",    "close",
    "cloth",       "cloud",     "clown",     "coach",    "coal",    "coast",    "coat",
    "coffee",      "cold",      "colour",    "comb",     "come",    "cook",     "cool",
    "copper",      "corn",      "corner",    "correct",  "cost",    "cotton",   "count",
    "country",     "cousin",    "cover",     "cow",      "cradle",  "cream",    "creek",
    "cross",       "crow",      "crown",     "cruel",    "cry",     "cup",      "curtain",
    "cushion",     "cut",       "damp",      "dance",    "dark",    "daughter", "day",
    "deep",        "deer",      "desk",      "dig",      "dinner",  "dirty",    "dish",
    "doctor",      "doll",      "donkey",    "door",     "draw",    "dream",    "dress",
    "drink",       "drive",     "driver",    "drop",     "drum",    "dry",      "dust",
    "ear",         "early",     "earth",     "easy",     "eat",     "edge",     "eight",
    "elder",       "empty",     "engine",    "enough",   "even",    "evening",  "ever",
    "every",       "expensive", "eye",       "face",     "fact",    "fair",     "fall",
    "false",       "family",    "farm",      "farmer",   "fast",    "father",   "feather",
    "feet",        "few",       "field",     "fight",    "fill",    "film",     "final",
    "fine",        "finger",    "fire",      "first",    "fish",    "five",     "flag",
    "flame",       "flat",      "float",     "floor",    "flower",  "fly",      "fog",
    "fold",        "follow",    "food",      "foot",     "forest",  "forget",   "fork",
    "four",        "free",      "fresh",     "friend",   "fruit",   "full",     "funny",
    "game",        "gate",      "gentle",    "ghost",    "gift",    "girl",     "give",
    "glad",        "glass",     "glove",     "glue",     "gold",    "good",     "grain",
    "grandfather", "grass",     "great",     "ground",   "group",   "grow",     "guide",
    "guitar",      "hair",      "half",      "hall",     "hammer",  "hand",     "hang",
    "harbour",     "hard",      "hat",       "head",     "hear",    "heart",    "heat",
    "heavy",       "hide",      "high",      "hill",     "history", "hold",     "hole",
    "holiday",     "hollow",    "home",      "honey",    "hook",    "hop",      "horn",
    "hospital",    "hot",       "hotel",     "hour",     "house",   "huge",     "hungry",
    "hurry",       "hurt",      "ice",       "idea",     "ink",     "insect",   "inside",
    "invite",      "iron",      "island",    "jacket",   "jam",     "jar",      "jelly",
    "jewel",       "job",       "join",      "journey",  "judge",   "jump",     "keep",
    "key",         "kick",      "king",      "kitten",   "knee",    "kneel",    "knife",
    "knot",        "know",      "ladder",    "lake",     "lamp",    "land",     "large",
    "last",        "late",      "laugh",     "lazy",     "lead",    "leaf",     "lean",
    "learn",       "leather",   "leave",     "left",     "leg",     "lend",     "less",
    "lesson",      "letter",    "lift",      "light",    "line",    "lion",     "listen",
    "little",      "live",      "lock",      "lonely",   "long",    "look",     "loose",
    "lose",        "loud",      "love",      "low",      "lucky",   "lunch",    "machine",
    "magic",       "mail",      "make",      "many",     "map",     "marble",   "march",
    "mark",        "mask",      "meal",      "mean",     "meet",    "melt",     "mend",
    "metal",       "middle",    "mild",      "milk",     "mine",    "minute",   "mirror",
    "mix",         "money",     "monkey",    "month",    "moon",    "more",     "morning",
    "most",        "mother",    "motor",     "mountain", "mouth",   "move",     "much",
    "music",       "nail",      "name",      "narrow",   "near",    "neat",     "neck",
    "needle",      "nest",      "net",       "never",    "news",    "next",     "nice",
    "night",       "nine",      "noble",     "noise",    "none",    "nose",     "number",
    "nurse",       "ocean",     "odd",       "office",   "often",   "oil",      "only",
    "open",        "orange",    "other",     "outside",  "oven",    "over",     "own",
    "pack",        "page",      "paint",     "pale",     "paper",   "parcel",   "park",
    "part",        "party",     "pass",      "past",     "path",    "pay",      "pen",
    "pencil",      "pet",       "picture",   "pig",      "pillow",  "pilot",    "pipe",
    "plain",       "plane",     "plant",     "plate",    "play",    "plenty",   "pocket",
    "poem",        "point",     "pond",      "pot",      "pour",    "powder",   "present",
    "pretty",      "prince",    "print",     "promise",  "proud",   "pull",     "pure",
    "push",        "put",       "puzzle",    "quarter",  "queen",   "question", "quite",
    "rabbit",      "rail",      "rain",      "range",    "rare",    "raw",      "reach",
    "read",        "ready",     "real",      "reason",   "repair",  "rest",     "rhyme",
    "rice",        "rich",      "ride",      "right",    "ring",    "ripe",     "rise",
    "river",       "road",      "robin",     "rock",     "roll",    "roof",     "room",
    "root",        "rope",      "rose",      "rough",    "round",   "rub",      "rule",
    "run",         "sad",       "safe",      "sail",     "salt",    "same",     "sand",
    "save",        "say",       "scale",     "scarf",    "science", "sea",      "search",
    "season",      "seat",      "secret",    "seed",     "seek",    "sell",     "send",
    "seven",       "several",   "shake",     "shallow",  "sharp",   "sheep",    "shelf",
    "shine",       "ship",      "shirt",     "shoe",     "shore",   "short",    "shoulder",
    "shout",       "show",      "shut",      "sick",     "side",    "sign",     "silk",
    "silver",      "simple",    "sing",      "sink",     "sister",  "sit",      "six",
    "size",        "skin",      "sky",       "sleep",    "slide",   "smart",    "smell",
    "smile",       "smoke",     "smooth",    "snail",    "snake",   "snow",     "soap",
    "sock",        "soft",      "solid",     "some",     "song",    "soon",     "sore",
    "sound",       "soup",      "sour",      "space",    "spade",   "spark",    "speak",
    "spend",       "spider",    "spin",      "splash",   "spoon",   "spring",   "square",
    "stage",       "stair",     "stand",     "star",     "start",   "station",  "stay",
    "steam",       "steel",     "steep",     "stem",     "step",    "stick",    "sticky",
    "stiff",       "still",     "stone",     "stop",     "store",   "storm",    "stove",
    "straight",    "strange",   "straw",     "stream",   "street",  "string",   "strong",
    "sudden",      "sugar",     "suit",      "summer",   "sun",     "sweet",    "swim",
    "table",       "tail",      "take",      "talk",     "tall",    "taste",    "teach",
    "teacher",     "team",      "tell",      "ten",      "tent",    "test",     "thick",
    "thin",        "think",     "thread",    "three",    "throw",   "thumb",    "thunder",
    "ticket",      "tie",       "tiger",     "tight",    "time",    "tiny",     "tired",
    "toe",         "together",  "tongue",    "tool",     "tooth",   "touch",    "town",
    "toy",         "trade",     "train",     "tray",     "tree",    "trick",    "trip",
    "truck",       "trust",     "try",       "tub",      "turkey",  "turn",     "twelve",
    "twice",       "two",       "ugly",      "uncle",    "under",   "use",      "usual",
    "valley",      "vase",      "very",      "vest",     "village", "violin",   "voice",
    "wagon",       "wait",      "wake",      "walk",     "wall",    "warm",     "wash",
    "watch",       "water",     "wave",      "weak",     "wear",    "weather",  "week",
    "weigh",       "wet",       "wheel",     "whisper",  "whistle", "whole",    "wide",
    "wild",        "win",       "wind",      "window",   "wing",    "winter",   "wire",
    "wise",        "wish",      "wolf",      "wood",     "wool",    "word",     "work",
    "world",       "worm",      "worry",     "wren",     "write",   "wrong",    "yard",
    "year",        "yell",      "zero"};

struct Country {
  const char* name;
  const char* capital;
  const char* continent;
  const char* language;
};
inline constexpr Country kCountries[] = {
    {"France", "Paris", "Europe", "French"},
    {"Germany", "Berlin", "Europe", "German"},
    {"Italy", "Rome", "Europe", "Italian"},
    {"Spain", "Madrid", "Europe", "Spanish"},
    {"Portugal", "Lisbon", "Europe", "Portuguese"},
    {"Austria", "Vienna", "Europe", "German"},
    {"Greece", "Athens", "Europe", "Greek"},
    {"Poland", "Warsaw", "Europe", "Polish"},
    {"Sweden", "Stockholm", "Europe", "Swedish"},
    {"Norway", "Oslo", "Europe", "Norwegian"},
    {"Denmark", "Copenhagen", "Europe", "Danish"},
    {"Finland", "Helsinki", "Europe", "Finnish"},
    {"Hungary", "Budapest", "Europe", "Hungarian"},
    {"Iceland", "Reykjavik", "Europe", "Icelandic"},
    {"Japan", "Tokyo", "Asia", "Japanese"},
    {"China", "Beijing", "Asia", "Chinese"},
    {"Thailand", "Bangkok", "Asia", "Thai"},
    {"Vietnam", "Hanoi", "Asia", "Vietnamese"},
    {"Nepal", "Kathmandu", "Asia", "Nepali"},
    {"Iran", "Tehran", "Asia", "Persian"},
    {"Egypt", "Cairo", "Africa", "Arabic"},
    {"Morocco", "Rabat", "Africa", "Arabic"},
    {"Senegal", "Dakar", "Africa", "French"},
    {"Angola", "Luanda", "Africa", "Portuguese"},
    {"Cuba", "Havana", "North America", "Spanish"},
    {"Mexico", "Mexico City", "North America", "Spanish"},
    {"Peru", "Lima", "South America", "Spanish"},
    {"Chile", "Santiago", "South America", "Spanish"},
    {"Brazil", "Brasilia", "South America", "Portuguese"},
    {"Colombia", "Bogota", "South America", "Spanish"},
};

struct Dish {
  const char* name;
  const char* ingredients;
  const char* method;
};
inline constexpr Dish kDishes[] = {
    {"pancakes", "flour, milk, eggs and butter",
     "Mix flour, milk and eggs. Bake thin cakes in hot butter."},
    {"tomato soup", "tomatoes, onions, water and salt",
     "Fry the onions. Add tomatoes and water. Cook for twenty minutes."},
    {"rice pudding", "rice, milk, sugar and cinnamon",
     "Cook the rice slowly in milk. Add sugar and cinnamon."},
    {"potato salad", "potatoes, onions, oil and vinegar",
     "Boil the potatoes. Cut them and mix them with onions, oil and vinegar."},
    {"an omelette", "eggs, butter and salt",
     "Beat the eggs with salt. Fry them in butter until they are firm."},
    {"apple pie", "apples, flour, butter and sugar",
     "Make a dough of flour, butter and sugar. Fill it with apples and bake it."},
    {"bread", "flour, water, yeast and salt",
     "Mix everything to a dough. Let it rise for an hour. Bake it until it is brown."},
    {"lentil stew", "lentils, carrots, onions and water",
     "Cut carrots and onions. Cook them with lentils and water for an hour."},
    {"lemonade", "lemons, water and sugar", "Press the lemons. Stir juice, water and sugar."},
    {"cheese toast", "bread, cheese and butter",
     "Put butter and cheese on the bread. Bake it until the cheese melts."},
};

// What sprout knows of the program that it comes with. Several wordings of each question.
struct SluiceFact {
  const char* questions[4];
  const char* answer;
};
inline constexpr SluiceFact kSluiceFacts[] = {
    {{"What is sluice?", "Tell me about sluice.", "What does sluice do?", "Explain sluice."},
     "Sluice is a program that runs language models of the Qwen3.5 family on ordinary computers."},
    {{"What is a sluice?", "What does the word sluice mean?", "Define sluice.",
      "What is a sluice for?"},
     "A sluice is a gate that lets water through in a controlled way."},
    {{"What language is sluice written in?", "How is sluice written?",
      "In which language is sluice made?", "Which language does sluice use?"},
     "Sluice is written in C++."},
    {{"How do I start a chat?", "How can I chat with a model?", "Which command starts a chat?",
      "How do I talk to a model?"},
     "Type: sluice run MODEL"},
    {{"How do I see the memory a model needs?", "How much memory does a model need?",
      "Which command shows the memory plan?", "How do I plan memory?"},
     "Type: sluice plan MODEL"},
    {{"How do I look into a checkpoint?", "Which command inspects a model?",
      "How do I inspect a file?", "How can I see what a model holds?"},
     "Type: sluice inspect MODEL"},
    {{"What are drafts?", "What is a draft?", "Explain drafts.", "What do drafts do?"},
     "Drafts are guesses of the next tokens. The model checks them, so they change only the "
     "speed."},
    {{"What is a token?", "Explain tokens.", "What are tokens?", "What does token mean?"},
     "A token is a small piece of text, the unit in which a model reads and writes."},
    {{"What is GGUF?", "Explain GGUF.", "What is a GGUF file?", "What does GGUF hold?"},
     "GGUF is a file format that holds the weights of a model in one file."},
    {{"What is quantization?", "Explain quantization.", "What does quantization do?",
      "Why are models quantized?"},
     "Quantization stores weights with fewer bits, so that a model needs less memory."},
    {{"What is a hybrid model?", "Explain hybrid models.", "What does hybrid mean here?",
      "Why is the model called hybrid?"},
     "A hybrid model has layers with a small state and a few layers with full attention."},
    {{"What is thinking?", "What is a thought?", "Explain thinking.", "Why do you think first?"},
     "A thought is text that the model writes for itself before it answers."},
};

}  // namespace sluice::tools::corpus
