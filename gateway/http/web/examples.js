// Examples of requests, one click each.

export const EXAMPLES = [
  {
    label: "Password",
    language: "en",
    query: "How do I reset my password?",
    documents: [
      "The cafeteria opens at eight in the morning.",
      "To reset your password, open Settings and choose Forgot password.",
      "Passwords must have at least twelve characters.",
      "Our company was founded in 1998 in Lisbon.",
      "Locked out? The help desk can send you a new password by post.",
    ],
  },
  {
    label: "Capital of France",
    language: "en",
    query: "What is the capital of France?",
    documents: [
      "Berlin is the capital of Germany.",
      "Paris is the capital of France.",
      "France has a long coast on the Atlantic.",
      "Lyon is the third largest city of France.",
      "Bananas are yellow.",
    ],
  },
  {
    label: "Столица Франции",
    language: "ru",
    query: "Какая столица Франции?",
    documents: [
      "Берлин — крупнейший город Германии.",
      "Париж — столица Франции.",
      "Франция граничит с Испанией и Италией.",
      "Борщ варят из свёклы и капусты.",
      "Лион — третий по величине город Франции.",
    ],
  },
  {
    label: "Возврат товара",
    language: "ru",
    query: "Как вернуть товар в магазин?",
    documents: [
      "Магазин работает ежедневно с девяти до девяти.",
      "Вернуть товар можно в течение четырнадцати дней, нужен чек.",
      "Доставка по городу бесплатна при заказе от двух тысяч рублей.",
      "Возврат оформляют на кассе, деньги придут на карту за три дня.",
      "Зимой дни короткие, а ночи длинные.",
    ],
  },
];
